package report

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// The facts of a run's Versions that say on which machine it was, as its Docker engine tells.
const (
	SystemFact   = "engine's system"
	EngineFact   = "engine"
	SecurityFact = "engine's security"
	UserFact     = "user"
)

// platformColumns are those of the table of machines: what a machine is, by the facts of these names, and then what was seen.
var platformColumns = []struct{ title, fact string }{
	{"distribution", SystemFact}, {"kernel", "kernel"}, {"cgroup", "cgroup"}, {"security", SecurityFact}, {"engine, storage", EngineFact},
	{"user", UserFact}, {"Kubernetes", "Kubernetes"}, {"containerd", "container runtime"}, {"runc", "runc"}, {"CRIU", "CRIU"},
}

// seenColumns are the groups of tests that a machine was seen with, the last for tests chosen by name.
var seenColumns = []string{"smoke", "full", "chosen by name"}

// Platforms are the machines on which the suite ran, a row each.
type Platforms struct{ rows [][]string }

// ParsePlatforms reads the table of a document, as [Platforms.Table] writes it. A document without one has no rows.
func ParsePlatforms(document string) *Platforms {
	p := &Platforms{}
	width := len(platformColumns) + len(seenColumns)
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| "+platformColumns[0].title+" ") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
		if len(cells) != width {
			continue // another table
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		p.rows = append(p.rows, cells)
	}
	return p
}

// Add puts what a run has seen into the row of its machine, in the place of what an earlier one has. It reports false for a
// run that cannot be told to a machine, or is of another group.
func (p *Platforms) Add(r *Run) bool {
	row := make([]string, len(platformColumns), len(platformColumns)+len(seenColumns))
	for i, c := range platformColumns {
		at := slices.IndexFunc(r.Versions, func(f Fact) bool { return f.Name == c.fact })
		if at < 0 {
			if c.fact == SecurityFact { // an engine without any
				continue
			}
			return false
		}
		row[i] = strings.ReplaceAll(r.Versions[at].Value, "|", "/")
		if release, arch, _ := strings.Cut(row[i], " "); c.fact == "kernel" {
			// Whose build it is tells nobody anything.
			version, _, _ := strings.Cut(release, "-")
			row[i] = version + " " + arch
		}
	}
	column := slices.Index(seenColumns, r.Suite)
	if r.Pattern != "" {
		column = len(seenColumns) - 1
	}
	if column < 0 {
		return false
	}
	at := slices.IndexFunc(p.rows, func(other []string) bool { return slices.Equal(other[:len(row)], row) })
	if at < 0 {
		at = len(p.rows)
		p.rows = append(p.rows, append(row, make([]string, len(seenColumns))...))
	}
	p.rows[at][len(row)+column] = r.seen()
	return true
}

// seen is a run in a cell: how many passed, and all others by name. Of tests chosen by name the passed ones are named too.
func (r *Run) seen() string {
	names := func(tests []*Test) string {
		var list []string
		for _, t := range tests {
			list = append(list, strings.TrimPrefix(t.Name, "Test"))
		}
		return strings.Join(list, ", ")
	}
	var parts []string
	add := func(count int, what, list string) {
		switch {
		case count == 0:
		case list == "":
			parts = append(parts, fmt.Sprintf("%d %s", count, what))
		default:
			parts = append(parts, fmt.Sprintf("%d %s: %s", count, what, list))
		}
	}
	passed := r.Of(Passed)
	if r.Pattern != "" {
		add(len(passed), "passed", names(passed))
	} else {
		add(len(passed), "passed", "")
	}
	add(len(r.Of(Failed)), "failed", names(r.Of(Failed)))
	add(len(r.Of(Interrupted)), "not finished", names(r.Of(Interrupted)))
	add(len(r.Of(Skipped)), "skipped", names(r.Of(Skipped)))
	return fmt.Sprintf("%s (%s)", strings.ReplaceAll(cmp.Or(strings.Join(parts, "; "), "no test"), "|", "/"), r.Start.UTC().Format("2006-01-02"))
}

// Table is in Markdown, a line for each machine.
func (p *Platforms) Table() string {
	var titles []string
	for _, c := range platformColumns {
		titles = append(titles, c.title)
	}
	titles = append(titles, seenColumns...)
	var s strings.Builder
	line := func(cells []string) { fmt.Fprintf(&s, "| %s |\n", strings.Join(cells, " | ")) }
	line(titles)
	s.WriteString(strings.Repeat("|---", len(titles)) + "|\n")
	slices.SortFunc(p.rows, slices.Compare)
	for _, row := range p.rows {
		line(row)
	}
	return s.String()
}

// RunsBelow are the records in an artifacts directory, and in those below it, where those of virtual machines are.
func RunsBelow(dir string) (runs []*Run, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != RecordFile {
			return err
		}
		run, err := Load(filepath.Dir(path))
		if err == nil {
			runs = append(runs, run)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for runs in %s: %w; next: go tool mage e2e", dir, err)
	}
	slices.SortFunc(runs, func(a, b *Run) int { return a.Start.Compare(b.Start) })
	return runs, nil
}
