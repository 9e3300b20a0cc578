// Package debian gets packages from Debian, and their files out of them.
package debian

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// defaultMirror is Debian's own, which finds one nearby.
const defaultMirror = "http://deb.debian.org/debian"

// Mirror is the Debian mirror that this host uses, from its apt sources: behind a proxy or without the internet the
// host's own mirror is the one that answers. For a host that is not Debian or uses none it is [defaultMirror]. etc is the
// host's /etc.
func Mirror(etc fs.FS) (string, error) {
	release, err := readIfThere(etc, "os-release")
	if err != nil {
		return "", err
	}
	if !slices.Contains(strings.Split(release, "\n"), "ID=debian") {
		return defaultMirror, nil // Ubuntu's mirrors have no Debian suites
	}
	sources, err := fs.Glob(etc, "apt/sources.list.d/*")
	if err != nil {
		return "", fmt.Errorf("read apt sources: %w", err)
	}
	for _, file := range append([]string{"apt/sources.list"}, sources...) {
		content, err := readIfThere(etc, file)
		if err != nil {
			return "", err
		}
		var uris []string
		switch path.Ext(file) {
		case ".list":
			uris = oneLineSources(content)
		case ".sources":
			uris = deb822Sources(content)
		}
		for _, uri := range uris {
			// Other parties' repositories and debian-security have other paths.
			if trimmed := strings.TrimRight(uri, "/"); strings.HasSuffix(trimmed, "/debian") && strings.HasPrefix(trimmed, "http") {
				return trimmed, nil
			}
		}
	}
	return defaultMirror, nil
}

func readIfThere(etc fs.FS, name string) (string, error) {
	content, err := fs.ReadFile(etc, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read /etc/%s: %w", name, err)
	}
	return string(content), nil
}

// oneLineSources are the addresses in `deb [options] ADDRESS SUITE COMPONENT...` lines that have the component main.
func oneLineSources(content string) []string {
	var uris []string
	for line := range strings.Lines(content) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		rest, ok := strings.CutPrefix(line, "deb ")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			_, rest, _ = strings.Cut(rest, "]")
		}
		fields := strings.Fields(rest)
		if len(fields) > 2 && slices.Contains(fields[2:], "main") {
			uris = append(uris, fields[0])
		}
	}
	return uris
}

// deb822Sources are the addresses in stanzas of type deb that have the component main and are not disabled.
func deb822Sources(content string) []string {
	var uris []string
	for stanza := range strings.SplitSeq(content, "\n\n") {
		fields := map[string][]string{}
		field := ""
		lines := bufio.NewScanner(strings.NewReader(stanza))
		for lines.Scan() {
			line := lines.Text()
			if strings.HasPrefix(line, "#") {
				continue
			}
			name, value, ok := strings.Cut(line, ":")
			if ok && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
				field = strings.ToLower(name)
			} else {
				value = line
			}
			fields[field] = append(fields[field], strings.Fields(value)...)
		}
		if slices.Contains(fields["types"], "deb") && slices.Contains(fields["components"], "main") &&
			!slices.Contains(fields["enabled"], "no") {
			uris = append(uris, fields["uris"]...)
		}
	}
	return uris
}
