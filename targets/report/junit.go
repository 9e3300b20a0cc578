package report

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/mask"
)

// DefaultName is a run's outside of a CI job.
const DefaultName = "cedana-e2e"

// The elements of JUnit that its readers agree on: https://github.com/testmoapp/junitxml.
type junitRoot struct {
	XMLName xml.Name `xml:"testsuites"`
	junitCounts
	Suite junitSuite `xml:"testsuite"`
}

type junitCounts struct {
	Name     string  `xml:"name,attr"`
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Time     seconds `xml:"time,attr"`
}

type junitSuite struct {
	junitCounts
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    seconds      `xml:"time,attr"`
	Failure *junitReason `xml:"failure"`
	Error   *junitReason `xml:"error"`
	Skipped *junitReason `xml:"skipped"`
}

type junitReason struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type seconds time.Duration

func (s seconds) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", time.Duration(s).Seconds()), nil
}

// junit is the run with a case for each test and for each part of one.
func (r *Run) junit() junitRoot {
	const class = "tests/e2e"
	s := junitSuite{Timestamp: r.Start.UTC().Format(time.RFC3339)}
	s.Name, s.Time = class, seconds(r.Took)
	for _, f := range r.Versions {
		s.Properties = append(s.Properties, junitProperty(f))
	}
	add := func(name string, t *Test) {
		c := junitCase{Class: class, Name: name, Time: seconds(t.Took)}
		reason := &junitReason{t.Why(), t.Output}
		s.Tests++
		switch t.Outcome {
		case Failed:
			c.Failure = reason
			s.Failures++
		case Interrupted:
			c.Error = reason
			s.Errors++
		case Skipped:
			c.Skipped = &junitReason{Message: reason.Message}
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
	}
	for _, t := range r.Tests {
		for _, part := range t.Parts {
			add(t.Name+"/"+part.Name, part)
		}
		add(t.Name, t)
	}
	root := junitRoot{junitCounts: s.junitCounts, Suite: s}
	root.Name = cmp.Or(r.Name, DefaultName)
	return root
}

// Why is why a test is not green: what was expected and seen where that is known.
func (t *Test) Why() string {
	text := t.Reason
	if t.Failure != nil {
		text = t.Failure.line()
	}
	for _, part := range t.Parts {
		if t.Failure == nil && part.Outcome == Failed && part.Failure != nil {
			text = part.Name + ": " + part.Failure.line()
			break
		}
	}
	if t.Reruns > 0 {
		text = fmt.Sprintf("passed %d of %d times when run again, and stays red; %s", t.RerunsPassed, t.Reruns, text)
	}
	return text
}

// ctrf is the run in the Common Test Report Format: https://ctrf.io.
func (r *Run) ctrf() any {
	type test struct {
		Name     string `json:"name"`
		Status   string `json:"status"`
		Duration int64  `json:"duration"` // milliseconds
		Start    int64  `json:"start,omitempty"`
		Stop     int64  `json:"stop,omitempty"`
		Message  string `json:"message,omitempty"`
		Trace    string `json:"trace,omitempty"`
		Flaky    bool   `json:"flaky"`
		Retries  int    `json:"retries,omitempty"`
		Suite    string `json:"suite,omitempty"`
	}
	status := map[Outcome]string{Passed: "passed", Failed: "failed", Skipped: "skipped", Interrupted: "other"}
	versions := map[string]string{}
	for _, f := range r.Versions {
		versions[f.Name] = f.Value
	}
	tests := []test{}
	for _, t := range r.Tests {
		one := test{Name: t.Name, Status: status[t.Outcome], Duration: t.Took.Milliseconds(), Flaky: r.Trends[t.Name].Flaky, Retries: t.Reruns, Suite: r.Suite}
		if !t.Start.IsZero() {
			one.Start, one.Stop = t.Start.UnixMilli(), t.Start.Add(t.Took).UnixMilli()
		}
		if t.Outcome != Passed {
			one.Message, one.Trace = t.Why(), t.Output
		}
		tests = append(tests, one)
	}
	return map[string]any{
		"reportFormat": "CTRF", "specVersion": "0.0.0", "reportId": r.ID, "generatedBy": DefaultName,
		"results": map[string]any{
			"tool": map[string]any{"name": DefaultName},
			"summary": map[string]any{
				"tests": len(tests), "passed": len(r.Of(Passed)), "failed": len(r.Of(Failed)), "skipped": len(r.Of(Skipped)),
				"pending": 0, "other": len(r.Of(Interrupted)), "start": r.Start.UnixMilli(), "stop": r.Start.Add(r.Took).UnixMilli(),
			},
			"tests":       tests,
			"environment": map[string]any{"testEnvironment": r.Backend, "extra": versions},
		},
	}
}

// writeForTools writes the run as JUnit and as CTRF.
func (r *Run) writeForTools(dir string, m mask.Mask) error {
	junit, err := xml.MarshalIndent(r.junit(), "", "\t")
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, JUnitFile), []byte(xml.Header+m.Text(string(junit))+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", JUnitFile, err)
	}
	ctrf, err := json.MarshalIndent(r.ctrf(), "", "  ")
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, CTRFFile), []byte(m.Text(string(ctrf))+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", CTRFFile, err)
	}
	return nil
}
