package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
)

func TestMirror(t *testing.T) {
	t.Parallel()
	const debian, ubuntu = "PRETTY_NAME=\"Debian\"\nID=debian\n", "ID=ubuntu\nID_LIKE=debian\n"
	for name, test := range map[string]struct {
		release, list, sources string
		want                   string
	}{
		"no sources":            {release: debian, want: defaultMirror},
		"no os-release":         {list: "deb http://mirror.example/debian bookworm main", want: defaultMirror},
		"one line":              {release: debian, list: "# comment\ndeb http://mirror.example/debian/ bookworm main contrib\n", want: "http://mirror.example/debian"},
		"one line, options":     {release: debian, list: "deb [arch=amd64 signed-by=/x] https://mirror.example/debian bookworm main # main", want: "https://mirror.example/debian"},
		"commented out":         {release: debian, list: "#deb http://mirror.example/debian bookworm main", want: defaultMirror},
		"sources only":          {release: debian, list: "deb-src http://mirror.example/debian bookworm main", want: defaultMirror},
		"another's repository":  {release: debian, list: "deb https://packages.example/apt stable main\ndeb http://mirror.example/debian trixie main", want: "http://mirror.example/debian"},
		"security is no mirror": {release: debian, list: "deb http://security.example/debian-security bookworm-security main", want: defaultMirror},
		"a file address":        {release: debian, list: "deb file:///srv/debian bookworm main", want: defaultMirror},
		"stanza":                {release: debian, sources: "Types: deb\n# snapshot\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n", want: "http://mirror.example/debian"},
		"continued field":       {release: debian, sources: "Types: deb\nURIs:\n http://security.example/debian-security\n http://mirror.example/debian\nSuites: x\nComponents: main\n", want: "http://mirror.example/debian"},
		"disabled stanza":       {release: debian, sources: "Types: deb\nURIs: http://old.example/debian\nSuites: x\nComponents: main\nEnabled: no\n\nTypes: deb\nURIs: http://new.example/debian\nSuites: x\nComponents: main\n", want: "http://new.example/debian"},
		"Ubuntu":                {release: ubuntu, list: "deb http://mirror.example/debian noble main", want: defaultMirror},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			etc := fstest.MapFS{}
			for file, content := range map[string]string{"os-release": test.release, "apt/sources.list": test.list, "apt/sources.list.d/debian.sources": test.sources} {
				if content != "" {
					etc[file] = &fstest.MapFile{Data: []byte(content)}
				}
			}
			mirror, err := Mirror(etc)
			require.NoError(t, err)
			require.Equal(t, test.want, mirror)
		})
	}
}

func TestAptKeepsToItsDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, err := aptSettings(dir, "http://mirror.example/debian")
	require.NoError(t, err)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "Dir::") {
			require.True(t, strings.HasPrefix(strings.Trim(value, `";`), dir+"/"), line)
		}
	}
	sources, err := os.ReadFile(filepath.Join(dir, "sources.list"))
	require.NoError(t, err)
	require.Equal(t, "deb [signed-by="+keyring+"] http://mirror.example/debian "+Suite+" main\n", string(sources))
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	out := &lastLines{keep: 2}
	for _, piece := range []string{"one\ntw", "o\nthr", "ee\nfo", "ur"} {
		n, err := out.Write([]byte(piece))
		require.NoError(t, err)
		require.Equal(t, len(piece), n)
	}
	require.Equal(t, "three", out.last())
	require.Equal(t, "two\nthree\nfour", out.text())
}

func TestAUserInstallsPackagesWithSudo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
		return path
	}
	sudo := script("sudo", `echo "sudo $@" >> `+log+`; shift; exec "$@"`)
	// The first time its lists are too old; it also needs its variables, which sudo takes away.
	apt := script("apt-get", `test "$DEBIAN_FRONTEND" = noninteractive || exit 3
case "$1" in update) touch `+dir+`/updated ;; install) test -e `+dir+`/updated ;; esac`)
	require.NoError(t, install(t.Context(), console.Quiet{}, []string{sudo, "-n"}, apt, []string{"debian-archive-keyring", "dpkg"}))
	said, err := os.ReadFile(log)
	require.NoError(t, err)
	as := "sudo -n env DEBIAN_FRONTEND=noninteractive LC_ALL=C " + apt
	require.Equal(t, as+" install -q -y --no-install-recommends debian-archive-keyring dpkg\n"+as+" update -q\n"+
		as+" install -q -y --no-install-recommends debian-archive-keyring dpkg\n", string(said))
}
