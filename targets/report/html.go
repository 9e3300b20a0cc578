package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/mask"
)

//go:embed report.tmpl
var pageText string

//go:embed report.css
var style string

var pageTemplate = template.Must(template.New(HTMLFile).Funcs(template.FuncMap{
	"took": took, "short": short, "plot": newPlot, "style": func() template.CSS { return template.CSS(style) },
	"drift": func(d contract.Drift) string { return strings.TrimSpace(d.Where + " " + d.Name) },
}).Parse(pageText))

// page is what the template shows.
type page struct {
	*Run
	// Headline is the verdict in one line.
	Headline string
	Red      []red
	// Earlier is the run against earlier ones; empty where there are none.
	Earlier string
	// Axis are the labels of the time axis, Rows what is on it: phases, then tests.
	Axis        []string
	Rows        []row
	States      []state
	Sensitivity *sensitivity
	Explained   []contract.Row
}

// writeHTML writes the report of the record and of what else is in the artifacts directory.
func (r *Run) writeHTML(dir string, m mask.Mask) error {
	var out bytes.Buffer
	p, err := r.page(os.DirFS(dir))
	if err == nil {
		err = pageTemplate.Execute(&out, p)
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, HTMLFile), []byte(m.Text(out.String())), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", HTMLFile, err)
	}
	return nil
}

func (r *Run) page(artifacts fs.FS) (*page, error) {
	p := &page{Run: r, States: states(r.Tests)}
	for _, t := range r.Red() {
		one, err := newRed(t, artifacts)
		if err != nil {
			return nil, err
		}
		p.Red = append(p.Red, one)
	}
	p.Headline, p.Earlier = r.headline(), r.earlier()
	a := r.axis()
	p.Axis = a.labels()
	for _, phase := range r.Phases {
		p.Rows = append(p.Rows, row{Name: phase.Name, Took: a.until(phase.Start, phase.Took), Bars: []bar{a.bar("phase", phase.Name, phase.Start, phase.Took)}})
	}
	for _, t := range slices.SortedStableFunc(slices.Values(r.Tests), func(a, b *Test) int { return a.Start.Compare(b.Start) }) {
		row := a.row(t)
		row.trend(r.Trends[t.Name])
		p.Rows = append(p.Rows, row)
	}
	if r.Contract != nil {
		p.Explained = slices.DeleteFunc(slices.Clone(r.Contract.Rows), func(row contract.Row) bool { return row.Why == "" })
	}
	var err error
	p.Sensitivity, err = readSensitivity(artifacts)
	return p, err
}

func (r *Run) headline() string {
	switch {
	case r.Outcome == Passed:
		return "Passed: " + r.Counts()
	case r.Outcome == Interrupted:
		return "Not finished: the run was killed. " + r.Counts()
	case len(r.Tests) == 0:
		return "Failed before any test ran"
	}
	return fmt.Sprintf("Failed: %d of %d tests red. %s", len(r.Red()), len(r.Tests), r.Counts())
}

// row is a phase or a test on the time axis.
type row struct {
	Name string
	// Test is nil for a phase.
	Test *Test
	Took time.Duration
	Bars []bar
	// Trend are bars of a small chart, oldest first, TrendText what they show.
	Trend     []bar
	TrendText string
	Marks     []string
	// Steps say in words what the bars show.
	Steps []said
}

// bar is a stretch of the axis, which is 1000 long.
type bar struct {
	Class, Title string
	X, Width     float64
}

// Top is where a bar of a trend begins, whose height is its width.
func (b bar) Top() float64 { return 1000 - b.Width }

// said is a step in words: when it began after the run's start, and where its time went.
type said struct {
	Step
	At, Took time.Duration
	Within   string
	Open     bool
}

// axis is the time from the run's start to its end, or of a run without one to the last that is known.
type axis struct {
	start time.Time
	whole time.Duration
}

func (r *Run) axis() axis {
	a := axis{r.Start, r.Took}
	reach := func(start time.Time, took time.Duration) {
		if !start.IsZero() {
			a.whole = max(a.whole, start.Add(took).Sub(a.start))
		}
	}
	for _, p := range r.Phases {
		reach(p.Start, p.Took)
	}
	for _, t := range r.Tests {
		reach(t.Start, t.Took)
		for _, s := range t.Steps {
			reach(s.Start, s.Took)
		}
	}
	return a
}

func (a axis) labels() (labels []string) {
	const parts = 4
	for i := range parts + 1 {
		labels = append(labels, took(a.whole*time.Duration(i)/parts))
	}
	return labels
}

// until is how long something took; what has not ended goes on to the axis's end.
func (a axis) until(start time.Time, took time.Duration) time.Duration {
	if took == 0 && !start.IsZero() {
		return a.whole - start.Sub(a.start)
	}
	return took
}

func (a axis) bar(class, name string, start time.Time, d time.Duration) bar {
	const length, least = 1000, 2
	d = a.until(start, d)
	b := bar{Class: class, Title: fmt.Sprintf("%s: %s", name, took(d)), Width: least}
	if !start.IsZero() && a.whole > 0 {
		b.X = length * float64(start.Sub(a.start)) / float64(a.whole)
		b.Width = max(least, length*float64(d)/float64(a.whole))
	}
	b.X = max(0, min(b.X, length-b.Width))
	return b
}

func (a axis) row(t *Test) row {
	row := row{Name: t.Name, Test: t, Took: t.Took}
	if t.Start.IsZero() {
		return row // the check of the API's contract takes no time of its own
	}
	if t.Outcome == Interrupted {
		row.Took = a.until(t.Start, t.Took)
	}
	row.Bars = []bar{a.bar("test", t.Name, t.Start, row.Took)}
	steps := slices.Clone(t.Steps)
	for _, part := range t.Parts {
		steps = append(steps, part.Steps...)
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.Start.Compare(b.Start) })
	for _, s := range steps {
		row.Bars = append(row.Bars, a.bar(stepClass(s.Name), s.Name+" "+s.What, s.Start, s.Took))
		var within []string
		for _, name := range slices.Sorted(maps.Keys(s.Within)) {
			within = append(within, fmt.Sprintf("%s %s", name, took(s.Within[name])))
		}
		row.Steps = append(row.Steps, said{s, s.Start.Sub(a.start), a.until(s.Start, s.Took), strings.Join(within, ", "), s.Took == 0})
	}
	return row
}

// trend shows how long the test took each time, the longest being 1000 high, by its outcome.
func (row *row) trend(t Trend) {
	if row.TrendText = t.String(); row.TrendText == "" {
		return
	}
	for _, mark := range []struct {
		name string
		is   bool
	}{{"flaky", t.Flaky}, {"slower", t.Slower}} {
		if mark.is {
			row.Marks = append(row.Marks, mark.name)
		}
	}
	longest := time.Duration(1)
	for _, r := range t.Results {
		longest = max(longest, r.Took)
	}
	for i, r := range t.Results {
		class := map[Outcome]string{Passed: "passed", Skipped: "skipped"}[r.Outcome]
		row.Trend = append(row.Trend, bar{
			Class: cmp.Or(class, "failed"), Title: fmt.Sprintf("%s, %s", r.Outcome, took(r.Took)),
			X: float64(i), Width: max(50, 1000*float64(r.Took)/float64(longest)),
		})
	}
}

// The steps that have a colour of their own.
const (
	StepStart      = "start"
	StepCheckpoint = "checkpoint"
	StepDelete     = "delete"
	StepRestore    = "restore"
	StepSteady     = "stay Ready"
	StepCheck      = "check"
)

func stepClass(name string) string {
	if slices.Contains([]string{StepStart, StepCheckpoint, StepDelete, StepRestore, StepCheck}, name) {
		return "step-" + name
	}
	return "step-other"
}

// state is what became of a kind of state.
type state struct {
	Kind, Reason     string
	Kept, Lost, Here bool
}

func states(tests []*Test) (list []state) {
	for _, t := range tests {
		if t.State != "" && t.Outcome != Interrupted {
			one := state{Kind: t.State, Kept: t.Outcome == Passed, Lost: t.Outcome == Failed, Here: t.Outcome != Skipped}
			if t.Failure != nil {
				one.Reason = t.Failure.line()
			} else if !one.Kept {
				one.Reason = t.Reason
			}
			list = append(list, one)
		}
		list = append(list, states(t.Parts)...)
	}
	return list
}

// line is the failure in one line.
func (f *Failure) line() string {
	if f.Error != "" {
		return f.Error
	}
	return fmt.Sprintf("expected: %s; seen: %s", f.Expected, f.Seen)
}

// sensitivity is the table of the last `mage sensitivity` with these artifacts.
type sensitivity struct {
	At   time.Time
	Rows []struct {
		Fault, Broken, Verdict, Test, Message string
		Seconds                               float64
	}
}

func readSensitivity(artifacts fs.FS) (*sensitivity, error) {
	const file = "sensitivity/sensitivity.json"
	info, err := fs.Stat(artifacts, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var text []byte
	if err == nil {
		text, err = fs.ReadFile(artifacts, file)
	}
	if err != nil {
		return nil, err
	}
	s := &sensitivity{At: info.ModTime().UTC()}
	if err := json.Unmarshal(text, &s.Rows); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return s, nil
}

// took is a duration as a reader wants it: three digits are enough.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
