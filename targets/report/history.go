package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// HistoryFile is in E2E_HOME, and has a line for each run.
const HistoryFile = "history.jsonl"

// Histories are the files that have the history of runs with these settings.
func Histories(s settings.Run) []string {
	files := []string{filepath.Join(s.Home, HistoryFile)}
	if s.History != "" {
		files = append(files, s.History)
	}
	return files
}

// Entry is a run in the history: a line of JSON.
type Entry struct {
	ID      string        `json:"id"`
	Start   time.Time     `json:"start"`
	Took    time.Duration `json:"took_ns"`
	Outcome Outcome       `json:"outcome"`
	Suite   string        `json:"suite"`
	// Versions is a hash of what ran against what: only runs with the same one are compared.
	Versions string                   `json:"versions"`
	Phases   map[string]time.Duration `json:"phases_ns"`
	Tests    map[string]Result        `json:"tests"`
	Facts    []Fact                   `json:"facts"`
}

// Result is a test's in the history.
type Result struct {
	Outcome Outcome       `json:"outcome"`
	Took    time.Duration `json:"took_ns"`
}

// entry is the run as the history has it.
func (r *Run) entry() Entry {
	facts, _ := json.Marshal(r.Versions) // texts can always be encoded
	e := Entry{
		ID: r.ID, Start: r.Start, Took: r.Took, Outcome: r.Outcome, Suite: r.Suite, Facts: r.Versions,
		Versions: fmt.Sprintf("%.6x", sha256.Sum256(facts)), Phases: map[string]time.Duration{}, Tests: map[string]Result{},
	}
	for _, p := range r.Phases {
		e.Phases[p.Name] = p.Took
	}
	for _, t := range r.Tests {
		e.Tests[t.Name] = Result{t.Outcome, t.Took}
	}
	return e
}

// Remember compares the run with the earlier ones that the files have, and appends it to each of them. A run without
// versions did not come to its tests, and is compared with none.
func (r *Run) Remember(m mask.Mask, files ...string) error {
	before, err := History(files...)
	if err != nil {
		return err
	}
	now := r.entry()
	r.Trends = now.trends(before)
	line, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("write the run's line in the history: %w", err)
	}
	for _, file := range files {
		if err := appendTo(file, append([]byte(m.Text(string(line))), '\n')); err != nil {
			return fmt.Errorf("write the run's line in the history: %w", err)
		}
	}
	return nil
}

// appendTo appends in one write, which those of other runs do not come between.
func appendTo(path string, line []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Close())
}

// History are the runs that the files have, oldest first; a file that is not there has none. A line that is none, as a full
// disk leaves it, is left out.
func History(files ...string) ([]Entry, error) {
	type run struct {
		id    string
		start int64
	}
	var entries []Entry
	known := map[run]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		for line := range bytes.Lines(text) {
			var e Entry
			if json.Unmarshal(line, &e) != nil || e.ID == "" {
				continue
			}
			if r := (run{e.ID, e.Start.UnixNano()}); !known[r] {
				known[r] = true
				entries = append(entries, e)
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.Start.Compare(b.Start) })
	return entries, nil
}

// Trend is what a test did in this run and, before it, in earlier runs of the same versions.
type Trend struct {
	// Results are oldest first, this run's last.
	Results []Result `json:"results"`
	// Flaky: the same versions gave both verdicts.
	Flaky bool `json:"flaky,omitempty"`
	// Slower: it took longer than the spread of the earlier ones allows.
	Slower bool `json:"slower,omitempty"`
}

const (
	// mostRuns is how far a trend goes back.
	mostRuns = 20
	// leastRuns is how many runs a spread needs.
	leastRuns = 5
)

// trends are those of a run's tests, by name.
func (now Entry) trends(history []Entry) map[string]Trend {
	all := map[string]Trend{}
	for name, result := range now.Tests {
		var t Trend
		for _, e := range history {
			before, ran := e.Tests[name]
			if ran && e.ID != now.ID && e.Start.Before(now.Start) && len(now.Facts) > 0 && e.Versions == now.Versions {
				t.Results = append(t.Results, before)
			}
		}
		t.Results = t.Results[max(0, len(t.Results)-mostRuns):]
		t.Slower = slower(t.Results, result)
		t.Results = append(t.Results, result)
		t.Flaky = t.has(Passed) && t.has(Failed)
		all[name] = t
	}
	return all
}

func (t Trend) has(o Outcome) bool {
	return slices.ContainsFunc(t.Results, func(r Result) bool { return r.Outcome == o })
}

// slower reports whether a result lies outside of the spread of those before, which is from their quartiles by Tukey's rule.
func slower(before []Result, now Result) bool {
	var times []time.Duration
	for _, b := range before {
		if b.Outcome == Passed {
			times = append(times, b.Took)
		}
	}
	if now.Outcome != Passed || len(times) < leastRuns {
		return false
	}
	slices.Sort(times)
	low, high := times[len(times)/4], times[len(times)*3/4]
	return now.Took > high+max((high-low)*3/2, high/10)
}

// String is the trend in words; empty where there is no earlier run.
func (t Trend) String() string {
	if len(t.Results) < 2 {
		return ""
	}
	red := 0
	for _, r := range t.Results {
		if r.Outcome == Failed {
			red++
		}
	}
	return fmt.Sprintf("%d of the last %d runs of these versions red", red, len(t.Results))
}

// Marked are the names of the tests whose trend has a mark, sorted.
func (r *Run) Marked(mark func(Trend) bool) (names []string) {
	for name, t := range r.Trends {
		if mark(t) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// earlier is the run against the earlier ones, in one line; empty where there are none.
func (r *Run) earlier() string {
	most := 0
	for _, t := range r.Trends {
		most = max(most, len(t.Results)-1)
	}
	if most == 0 {
		return ""
	}
	text := fmt.Sprintf("Against %d earlier runs of the same versions: ", most)
	flaky, slower := r.Marked(func(t Trend) bool { return t.Flaky }), r.Marked(func(t Trend) bool { return t.Slower })
	if len(flaky)+len(slower) == 0 {
		return text + "no test is flaky or slower."
	}
	var parts []string
	if len(flaky) > 0 {
		parts = append(parts, "flaky: "+strings.Join(flaky, ", "))
	}
	if len(slower) > 0 {
		parts = append(parts, "slower: "+strings.Join(slower, ", "))
	}
	return text + strings.Join(parts, "; ") + "."
}

// ListHistory writes the runs as a table, newest last: their verdict, the red tests, and the versions that they may be
// compared by.
func ListHistory(to io.Writer, entries []Entry) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "START\tRUN\tSUITE\tVERSIONS\tOUTCOME\tTOOK\tTESTS\tRED")
	for _, e := range entries {
		var red []string
		for name, t := range e.Tests {
			if t.Outcome == Failed || t.Outcome == Interrupted {
				red = append(red, name)
			}
		}
		slices.Sort(red)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", e.Start.UTC().Format(time.DateTime), e.ID, e.Suite, e.Versions, e.Outcome,
			took(e.Took), len(e.Tests), strings.Join(red, ", "))
	}
	return table.Flush()
}
