package suite

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// meaning says what a run is worth.
func (r *Report) meaning() string {
	if r.NoCluster != "" {
		return fmt.Sprintf("Live backend without a cluster: only the API at %s was asked. Nothing was deployed, checkpointed or restored. %s", r.URL, r.NoCluster)
	}
	return r.Subject.Meaning
}

// publish writes the summary as text to the console's data, and all that is made of the record to the artifacts and to the
// file stepSummary ($GITHUB_STEP_SUMMARY) if there is one.
func (r *Report) publish(con *console.Console, s *settings.Suite, stepSummary string, m mask.Mask) error {
	if err := r.text(con.Data(), m); err != nil {
		return fmt.Errorf("print summary: %w", err)
	}
	return r.Publish(s.Artifacts, stepSummary, m)
}

func (r *Report) text(to io.Writer, m mask.Mask) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TEST\tOUTCOME\tTOOK\tREASON")
	for _, t := range r.Tests {
		fmt.Fprintf(table, "%s\t%s\t%s", t.Name, t.Outcome, round(t.Took))
		if reason := reason(t); reason != "" {
			fmt.Fprintf(table, "\t%s", m.Text(reason))
		}
		fmt.Fprintln(table)
	}
	// An empty line ends a table's columns.
	fmt.Fprint(table, "\nPHASE\tTOOK\n")
	for _, p := range r.Phases {
		fmt.Fprintf(table, "%s\t%s\n", p.Name, round(p.Took))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, one := range r.Measured {
		if _, err := fmt.Fprintf(to, "\nMEASURED: %s\n%s", one.Name, m.Text(one.Table)); err != nil {
			return err
		}
	}
	if r.Contract != nil {
		if err := r.Contract.Text(to); err != nil {
			return err
		}
	}
	last := r.Counts() + "\n"
	if r.NotAskedFor != "" {
		last += m.Text(r.NotAskedFor) + "\n"
	}
	_, err := fmt.Fprintf(to, "\n%s%s\n", last, r.meaning())
	return err
}

// reason is shown for what did not pass.
func reason(t *report.Test) string {
	if t.Outcome == report.Passed {
		return ""
	}
	const most = 160
	text := []rune(t.Why())
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

func round(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
