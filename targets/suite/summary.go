package suite

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
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

// publish writes the summary: as text to the console's data, as Markdown to the artifacts and to the
// file stepSummary ($GITHUB_STEP_SUMMARY) if there is one.
func (r *Report) publish(con *console.Console, s *settings.Suite, stepSummary string, m mask.Mask, verdict error) error {
	if err := r.text(con.Data(), m); err != nil {
		return fmt.Errorf("print summary: %w", err)
	}
	markdown := r.markdown(m, verdict)
	if err := os.WriteFile(filepath.Join(s.Artifacts, report.SummaryFile), []byte(markdown), 0o644); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	if err := r.Publish(s.Artifacts, m); err != nil {
		return err
	}
	if stepSummary == "" {
		return nil
	}
	f, err := os.OpenFile(stepSummary, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write $GITHUB_STEP_SUMMARY: %w", err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, markdown); err != nil {
		return fmt.Errorf("write $GITHUB_STEP_SUMMARY: %w", err)
	}
	return nil
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
		fmt.Fprintf(to, "\nMEASURED: %s\n%s", one.Name, m.Text(one.Table))
	}
	if r.Contract != nil {
		if err := r.Contract.Text(to); err != nil {
			return err
		}
	}
	fmt.Fprintf(to, "\n%s\n", r.Counts())
	if r.NotAskedFor != "" {
		fmt.Fprintln(to, m.Text(r.NotAskedFor))
	}
	_, err := fmt.Fprintln(to, r.meaning())
	return err
}

func (r *Report) markdown(m mask.Mask, verdict error) string {
	var b strings.Builder
	mark := "✅"
	if verdict != nil {
		mark = "❌"
	}
	fmt.Fprintf(&b, "## %s cedana-e2e: %s\n\n%s\n\n", mark, r.Counts(), r.meaning())
	if verdict != nil {
		fmt.Fprintf(&b, "```\n%s\n```\n\n", strings.ReplaceAll(m.Text(verdict.Error()), "```", "'''"))
	}
	if r.NotAskedFor != "" {
		fmt.Fprintf(&b, "%s\n\n", m.Text(r.NotAskedFor))
	}
	fmt.Fprint(&b, "| test | outcome | took | reason |\n|---|---|---:|---|\n")
	for _, t := range r.Tests {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.Name, t.Outcome, round(t.Took), strings.ReplaceAll(m.Text(reason(t)), "|", `\|`))
	}
	fmt.Fprint(&b, "\n| phase | took |\n|---|---:|\n")
	for _, p := range r.Phases {
		fmt.Fprintf(&b, "| %s | %s |\n", p.Name, round(p.Took))
	}
	for _, one := range r.Measured {
		fmt.Fprintf(&b, "\nMeasured: %s\n\n```\n%s```\n", one.Name, m.Text(one.Table))
	}
	if r.Contract != nil {
		b.WriteString(r.Contract.Markdown())
	}
	return b.String() + "\n"
}

// reason is shown for what did not pass.
func reason(t *report.Test) string {
	if t.Outcome == report.Passed {
		return ""
	}
	if t.Reruns > 0 {
		return fmt.Sprintf("passed %d of %d times when run again, and stays red; %s", t.RerunsPassed, t.Reruns, short(t))
	}
	return short(t)
}

func short(t *report.Test) string {
	const most = 160
	if runes := []rune(t.Reason); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return t.Reason
}

func round(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
