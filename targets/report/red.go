package report

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// red is a test that is not green, with what was kept of it.
type red struct {
	*Test
	Anchor string
	// Found are its failures, or those of its parts.
	Found []found
	Files []kept
}

// found is a failure, with the part of the test that it is of.
type found struct {
	Part string
	*Failure
}

// kept is the end of a file that explains a failure.
type kept struct {
	Title, Path, Text string
	Lines, Left       int
}

// The most that the report has of one file: the artifacts have the whole.
const (
	mostLines = 300
	mostLine  = 2000
)

// CasesDir is what the tests themselves write, below the artifacts directory: what explains a failure is in a directory
// with the test's name.
const CasesDir = "cases"

func newRed(t *Test, artifacts fs.FS) (red, error) {
	one := red{Test: t, Anchor: "red-" + t.Name}
	if t.Failure != nil {
		one.Found = append(one.Found, found{"", t.Failure})
	}
	for _, part := range t.Parts {
		if part.Failure != nil && part.Outcome != Passed {
			one.Found = append(one.Found, found{part.Name, part.Failure})
		}
	}
	dir := path.Join(CasesDir, t.Name)
	var criu []string
	for _, group := range []struct{ title, pattern string }{
		{"Requests to the propagator", "requests.log"}, {"Events", "events.txt"}, {"History of its pods", "pod-history.txt"},
		{"Actions", "actions.json"}, {"Checkpoints", "checkpoints.json"}, {"Log", "logs/*.log"}, {"Cedana", "cedana/*.log"},
	} {
		paths, err := fs.Glob(artifacts, path.Join(dir, group.pattern))
		if err != nil {
			return one, fmt.Errorf("look for what test %s has kept: %w", t.Name, err)
		}
		for _, p := range paths {
			text, err := fs.ReadFile(artifacts, p)
			if err != nil {
				return one, fmt.Errorf("read what test %s has kept: %w", t.Name, err)
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			for _, line := range lines {
				if fromCRIU.MatchString(line) {
					criu = append(criu, path.Base(p)+": "+line)
				}
			}
			title := group.title
			if strings.Contains(group.pattern, "*") {
				title += " of " + strings.TrimSuffix(path.Base(p), ".log")
			}
			one.Files = append(one.Files, keep(title, p, lines))
		}
	}
	if len(criu) > 0 {
		one.Files = append([]kept{keep("What CRIU said", "", criu)}, one.Files...)
	}
	return one, nil
}

// fromCRIU is a line that has CRIU's own words, or the reason for which it refused.
var fromCRIU = regexp.MustCompile(`\(\d+\.\d+\) +(Error|Warn)|(?i:criu( |: |.*)(cannot|can't|failed|error))|(?i:error.*criu)`)

func keep(title, path string, lines []string) kept {
	k := kept{Title: title, Path: path, Lines: len(lines)}
	if k.Left = max(0, len(lines)-mostLines); k.Left > 0 {
		lines = lines[k.Left:]
	}
	cut := make([]string, len(lines))
	for i, line := range lines {
		cut[i] = short(line, mostLine)
	}
	k.Text = strings.Join(cut, "\n")
	return k
}

// Remedy is the command that runs the test again.
func (r red) Remedy() string { return "E2E_RUN=^" + r.Name + "$ go tool mage e2e" }
