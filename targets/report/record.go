// Package report has the record of a run, run.json, and all that is made of it for people and for other tools.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/measured"
)

// What is written to the artifacts directory.
const (
	RecordFile  = "run.json"
	HTMLFile    = "report.html"
	SummaryFile = "summary.md"
	JUnitFile   = "junit.xml"
	CTRFFile    = "ctrf.json"
)

// Files are all that Publish writes.
func Files() []string { return []string{RecordFile, HTMLFile, SummaryFile, JUnitFile, CTRFFile} }

// Outcome of a run, or of a test.
type Outcome string

// The outcomes. A run is never Skipped.
const (
	Passed      Outcome = "passed"
	Failed      Outcome = "failed"
	Skipped     Outcome = "skipped"
	Interrupted Outcome = "not finished"
)

// Run is the record of one run: all that its reports are made of. Durations in JSON are nanoseconds.
type Run struct {
	ID string `json:"id"`
	// Name is the CI job's; empty outside of one.
	Name    string        `json:"name,omitempty"`
	Start   time.Time     `json:"start"`
	Took    time.Duration `json:"took_ns"`
	Outcome Outcome       `json:"outcome"`
	// Error is why the run is not green.
	Error string `json:"error,omitempty"`
	// Meaning is what a green run says.
	Meaning string `json:"meaning"`
	// Backend, Suite and Pattern are what was asked for: the group of tests, or those that the pattern chose.
	Backend string `json:"backend"`
	Suite   string `json:"suite"`
	Pattern string `json:"pattern,omitempty"`
	// Versions are what ran against what, Environment what was set, without secrets.
	Versions    []Fact  `json:"versions"`
	Environment []Fact  `json:"environment"`
	Phases      []Phase `json:"phases"`
	// Tests are those at the top, in the order in which they began.
	Tests []*Test `json:"tests"`
	// NotAskedFor says in one line how many tests other groups have; empty when E2E_RUN chose the tests.
	NotAskedFor string `json:"not_asked_for,omitempty"`
	// Measured are the tables of what the tests have measured.
	Measured []Measurement `json:"measured,omitempty"`
	// Trends are the tests' by name, against earlier runs of the same versions.
	Trends map[string]Trend `json:"trends,omitempty"`
	// Contract is what was checked against an OpenAPI document, nil without one.
	Contract *contract.Report `json:"contract,omitempty"`
}

// Fact is a name with its value.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Phase is a part of the whole run.
type Phase struct {
	Name  string        `json:"name"`
	Start time.Time     `json:"start"`
	Took  time.Duration `json:"took_ns"`
}

// Measurement is a table of times that a test has taken.
type Measurement struct {
	Name  string `json:"name"`
	Table string `json:"table"`
	// Times are the figures, where they are over an axis: the report plots them.
	Times *measured.Times `json:"times,omitempty"`
}

// Test is one test's result, or that of a part of it.
type Test struct {
	Name    string        `json:"name"`
	Outcome Outcome       `json:"outcome"`
	Start   time.Time     `json:"start,omitzero"`
	Took    time.Duration `json:"took_ns"`
	// Reason is the first line that the test logged, or the last that it wrote if it logged none. Tests here log little
	// before they fail or skip.
	Reason string `json:"reason,omitempty"`
	// Output is everything that the test and its parts wrote, without what the testing package adds.
	Output string `json:"output,omitempty"`
	// Reruns is how often a red test was run again, RerunsPassed how often it passed then. It stays red.
	Reruns       int `json:"reruns,omitempty"`
	RerunsPassed int `json:"reruns_passed,omitempty"`
	// State is the kind of state that the test judges; empty for a test of something else.
	State   string   `json:"state,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
	Steps   []Step   `json:"steps,omitempty"`
	// Parts are subtests at every depth, their names without the test's.
	Parts []*Test `json:"parts,omitempty"`
}

// Step is something that a test does: start a pod, restore it.
type Step struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	// What it is done to.
	What  string    `json:"what,omitempty"`
	Start time.Time `json:"start"`
	// Took is 0 of a step that has not ended.
	Took time.Duration `json:"took_ns,omitempty"`
	// Within is where its time went, as the system under test says; when each began it does not say.
	Within map[string]time.Duration `json:"within_ns,omitempty"`
}

// Failure is what a test that failed has found.
type Failure struct {
	// Expected and Seen, or Error where something could not be done.
	Expected string `json:"expected,omitempty"`
	Seen     string `json:"seen,omitempty"`
	Error    string `json:"error,omitempty"`
	// Facts are on what: the pod, its node, the actions.
	Facts []Fact `json:"facts,omitempty"`
}

// New is the record of a run that begins now.
func New(id string) *Run { return &Run{ID: id, Start: time.Now(), Outcome: Interrupted} }

// The keys of the attributes ([testing.T.Attr]) by which a test tells the record more than its outcome. A [Step] is told
// twice, when it begins and when it has ended; values are JSON.
const (
	StepAttr    = "step"
	StateAttr   = "state"
	FailureAttr = "failure"
)

// Tell is the attribute's value; the types of this package can always be encoded.
func Tell(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("report: %v", err))
	}
	return string(text)
}

// Hear takes what a test has told by an attribute. Others' attributes are not for us.
func (t *Test) Hear(key, value string) error {
	var err error
	switch key {
	case StepAttr:
		var step Step
		err = json.Unmarshal([]byte(value), &step)
		if i := slices.IndexFunc(t.Steps, func(s Step) bool { return s.ID == step.ID }); i >= 0 {
			t.Steps[i] = step
		} else {
			t.Steps = append(t.Steps, step)
		}
	case StateAttr:
		err = json.Unmarshal([]byte(value), &t.State)
	case FailureAttr:
		err = json.Unmarshal([]byte(value), &t.Failure)
		if t.Failure != nil && t.Failure.Error == "" && t.Failure.Seen == "" {
			t.Failure.Seen = "nothing" // an empty text, which a reader would not see
		}
	}
	if err != nil {
		return fmt.Errorf("read attribute %s of test %s: %w", key, t.Name, err)
	}
	return nil
}

// Of are the tests with an outcome.
func (r *Run) Of(o Outcome) (list []*Test) {
	for _, t := range r.Tests {
		if t.Outcome == o {
			list = append(list, t)
		}
	}
	return list
}

// Red are the tests that make a run red: those that failed, then those that did not finish.
func (r *Run) Red() []*Test { return append(r.Of(Failed), r.Of(Interrupted)...) }

// Counts is the run in one line, such as "7 passed, 0 failed, 3 skipped".
func (r *Run) Counts() string {
	text := fmt.Sprintf("%d passed, %d failed, %d skipped", len(r.Of(Passed)), len(r.Of(Failed)), len(r.Of(Skipped)))
	if n := len(r.Of(Interrupted)); n > 0 {
		text += fmt.Sprintf(", %d not finished", n)
	}
	return text
}

// Phase does a part of the run and takes its time.
func (r *Run) Phase(name string, do func() error) error {
	i := len(r.Phases)
	// There from its beginning: the record of a run that is killed in it has it.
	r.Phases = append(r.Phases, Phase{Name: name, Start: time.Now()})
	err := do()
	r.Phases[i].Took = time.Since(r.Phases[i].Start)
	return err
}

// End ends the record with the run's verdict.
func (r *Run) End(verdict error) {
	r.Took, r.Outcome = time.Since(r.Start), Passed
	if verdict != nil {
		r.Outcome, r.Error = Failed, verdict.Error()
	}
}

// Save writes the record.
func (r *Run) Save(dir string, m mask.Mask) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, RecordFile), []byte(m.Text(string(text))+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the record of the run: %w", err)
	}
	return nil
}

// Load reads the record that a run has left.
func Load(dir string) (*Run, error) {
	path := filepath.Join(dir, RecordFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the record of the last run: there is no %s: run `go tool mage e2e`, or set E2E_ARTIFACTS to where a run has left its artifacts", path)
	}
	r := &Run{}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of a run %s: %w", path, err)
	}
	return r, nil
}

// Publish saves the record and makes everything else of it. One that cannot be made does not keep the others. The summary is
// appended to the file stepSummary ($GITHUB_STEP_SUMMARY) too, if there is one.
func (r *Run) Publish(dir, stepSummary string, m mask.Mask) error {
	errs := []error{r.Save(dir, m), r.writeHTML(dir, m), r.writeForTools(dir, m)}
	summary := []byte(m.Text(r.Summary()))
	errs = append(errs, atomicfile.Write(filepath.Join(dir, SummaryFile), summary, 0o644))
	if stepSummary != "" {
		if err := appendTo(stepSummary, summary); err != nil {
			errs = append(errs, fmt.Errorf("write $GITHUB_STEP_SUMMARY: %w", err))
		}
	}
	return errors.Join(errs...)
}

// short is for a table: the first line, cut.
func short(text string, most int) string {
	text, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		text += " …"
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
