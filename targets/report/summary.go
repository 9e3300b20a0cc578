package report

import (
	"fmt"
	"strings"
)

// mostRed is how many red tests a job's summary names: it is one screen.
const mostRed = 10

// Summary is the run on one screen, as Markdown, for a CI job's page. The report has the rest.
func (r *Run) Summary() string {
	var b strings.Builder
	mark := "✅"
	if r.Outcome != Passed {
		mark = "❌"
	}
	fmt.Fprintf(&b, "## %s cedana-e2e: %s\n\n%s\n\n", mark, r.Counts(), r.Meaning)
	red := r.Red()
	for _, t := range red[:min(len(red), mostRed)] {
		fmt.Fprintf(&b, "- **%s**: %s\n", t.Name, short(t.Why(), 300))
	}
	if more := len(red) - mostRed; more > 0 {
		fmt.Fprintf(&b, "- and %d more\n", more)
	}
	if len(red) == 0 && r.Error != "" {
		fmt.Fprintf(&b, "```\n%s\n```\n", strings.ReplaceAll(short(r.Error, 600), "```", "'''"))
	}
	if line := r.earlier(); line != "" {
		fmt.Fprintf(&b, "\n%s\n", line)
	}
	if r.NotAskedFor != "" {
		fmt.Fprintf(&b, "\n%s\n", r.NotAskedFor)
	}
	if r.Contract != nil {
		fmt.Fprintf(&b, "\nOpenAPI: %s\n", r.Contract.Headline())
	}
	var phases []string
	for _, p := range r.Phases {
		phases = append(phases, fmt.Sprintf("%s %s", p.Name, took(p.Took)))
	}
	fmt.Fprintf(&b, "\n%s: %s\n\nMore in the artifacts: `%s`, or `go tool mage report` there.\n", took(r.Took), strings.Join(phases, ", "), HTMLFile)
	return b.String()
}
