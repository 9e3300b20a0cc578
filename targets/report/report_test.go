package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/measured"
)

var begin = time.Date(2026, 11, 28, 6, 28, 0, 0, time.UTC)

func at(seconds float64) time.Time { return begin.Add(in(seconds)) }

func in(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// greenRun is a run as the suite records it.
func greenRun() *Run {
	return &Run{
		ID: "1a2b3c4d", Start: begin, Took: in(60), Outcome: Passed, Backend: "local", Suite: "smoke",
		Meaning:     "Local backend: it says nothing about Cedana itself.",
		Versions:    []Fact{{"Kubernetes", "v1.34.4"}, {"kernel", "6.18.44 amd64"}, {"CRIU", "4.2"}, {"cgroup", "v1"}},
		Environment: []Fact{{"CEDANA_AUTH_TOKEN", "***"}},
		Phases:      []Phase{{"make the cluster", at(0), in(8)}, {"deploy Cedana", at(8), in(10)}, {"run the tests", at(18), in(40)}},
		Tests: []*Test{
			{Name: "TestRestoreCounter", Outcome: Passed, Start: at(18), Took: in(30), Steps: []Step{
				{ID: 1, Name: StepStart, What: "pod counter", Start: at(18), Took: in(3)},
				{ID: 2, Name: StepCheckpoint, What: "pod counter", Start: at(22), Took: in(4), Within: map[string]time.Duration{"freeze": in(0.2), "upload": in(2)}},
				{ID: 3, Name: StepDelete, What: "pod counter", Start: at(27), Took: in(1)},
				{ID: 4, Name: StepRestore, What: "pod counter", Start: at(28), Took: in(9)},
				{ID: 5, Name: StepSteady, What: "pod counter-restored", Start: at(38), Took: in(5)},
				{ID: 6, Name: StepCheck, What: "restored pod counter-restored", Start: at(43), Took: in(2)},
			}},
			{Name: "TestRestoreUser", Outcome: Skipped, Start: at(18.5), Took: in(0.2), Reason: "this machine has no CAP_SYS_RESOURCE", State: "another user than root"},
		},
		Measured: []Measurement{
			{Name: "restores", Table: "WHAT     N  MEDIAN\nrestore  5  1.1s\n"},
			{Name: "bench-pods", Table: "WHAT     PODS  N  MEDIAN\nrestore  1     1  1.1s\n", Times: &measured.Times{X: "pods", Series: []*measured.Series{
				{Name: "restore", At: "1", Samples: []time.Duration{in(1.1)}}, {Name: "restore", At: "10", Samples: []time.Duration{in(4), in(5)}},
			}}},
		},
	}
}

// redRun is one with a test that failed in a part.
func redRun() *Run {
	r := greenRun()
	r.Tests = append(r.Tests, &Test{
		Name: "TestRestoreState", Outcome: Failed, Start: at(18), Took: in(40), Output: "    state_test.go:77: ...\n", Reason: "...",
		Parts: []*Test{
			{Name: "memory and count", Outcome: Passed, State: "memory and count"},
			{Name: "timers", Outcome: Failed, State: "timers", Failure: &Failure{
				Expected: "the timer fires <b>after</b> the checkpoint", Seen: "it has not fired",
				Facts: []Fact{{"pod", "ns/counter-restored (4dae)"}, {"node", "k3d-full-server-0"}, {"checkpoint action", "f26b"}},
			}},
		},
	}, &Test{Name: "TestNodes", Outcome: Interrupted, Start: at(20), Steps: []Step{{ID: 1, Name: StepRestore, What: "pod nginx", Start: at(30)}}})
	r.Contract = &contract.Report{Document: "openapi.json", Exchanges: 12, Rows: []contract.Row{
		{Counted: contract.Counted{Drift: contract.Drift{Operation: "GET /v2/user", Where: "query parameter", Name: "a", Document: "not declared", Seen: "sent"}, Count: 3}},
		{Counted: contract.Counted{Drift: contract.Drift{Operation: "GET /v2/user", Where: "response status", Name: "401", Document: "200", Seen: "401"}, Count: 1}, Why: "a reason"},
	}}
	r.End(errors.New("run the tests: 1 passed, 1 failed"))
	r.Took = in(60)
	return r
}

// keepFiles are what the red test has kept, and a table of sensitivity.
func keepFiles(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"cases/TestRestoreState/requests.log":          strings.Repeat("GET /v2/checkpoint/status/f26b -> 200\n", 400),
		"cases/TestRestoreState/events.txt":            "Warning Pod/counter Unhealthy\n",
		"cases/TestRestoreState/cedana/helper.log":     "all is well\n(00.071) Error (criu/timer.c:12): no timer\n",
		"cases/TestRestoreState/logs/counter.main.log": "count 7\n",
		"sensitivity/sensitivity.json":                 `[{"fault":"labels-lost","broken":"labels are lost","verdict":"caught","test":"TestRestoreState","message":"lost: label app","seconds":3}]`,
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

func html(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, HTMLFile))
	require.NoError(t, err)
	return string(text)
}

func TestTheReportOfARedRunHasWhatExplainsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keepFiles(t, dir)
	require.NoError(t, redRun().Publish(dir, "", mask.New("k3d-full-server-0")))
	page := html(t, dir)
	for _, want := range []string{
		"Failed: 2 of 4 tests red. 1 passed, 1 failed, 1 skipped, 1 not finished", "<strong>seen it has not fired</strong>",
		"the timer fires &lt;b&gt;after&lt;/b&gt; the checkpoint", "ns/counter-restored (4dae)", "E2E_RUN=^TestRestoreState$ go tool mage e2e",
		"(400 lines)", "100 more are in cases/TestRestoreState/requests.log", "What CRIU said", "helper.log: (00.071) Error (criu/timer.c:12): no timer",
		"Log of counter.main", "labels are lost", "1 kinds of drift that are explained", "✘ lost", "– not here", "not ended",
	} {
		require.Contains(t, page, want)
	}
	require.NotContains(t, page, "k3d-full-server-0", "secrets are masked")
	require.Less(t, strings.Index(page, "it has not fired"), strings.Index(page, "Local backend"), "the verdict is first")
}

func TestTheReportIsMadeAgainFromTheRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Load(dir)
	require.ErrorContains(t, err, "go tool mage e2e")
	require.NoError(t, redRun().Publish(dir, "", mask.New()))
	first := html(t, dir)
	again, err := Load(dir)
	require.NoError(t, err)
	require.NoError(t, again.Publish(dir, "", mask.New()))
	require.Equal(t, first, html(t, dir))
}

func TestTheTimeAxisEndsWithTheLastThatIsKnown(t *testing.T) {
	t.Parallel()
	r := redRun()
	r.Took, r.Outcome = 0, Interrupted // killed
	a := r.axis()
	require.Equal(t, in(58), a.whole)
	b := a.bar("test", "x", at(29), in(14.5))
	require.InDelta(t, 500, b.X, 0.1)
	require.InDelta(t, 250, b.Width, 0.1)
	open := a.row(r.Tests[3]).Steps[0]
	require.True(t, open.Open)
	require.Equal(t, in(28), open.Took, "until the end")
	require.Contains(t, r.headline(), "Not finished")
}

func TestAStepIsToldTwice(t *testing.T) {
	t.Parallel()
	test := &Test{Name: "TestA"}
	s := Step{ID: 1, Name: StepStart, Start: begin}
	require.NoError(t, test.Hear(StepAttr, Tell(s)))
	require.Zero(t, test.Steps[0].Took)
	s.Took = in(2)
	require.NoError(t, test.Hear(StepAttr, Tell(s)))
	require.Equal(t, []Step{s}, test.Steps)
	require.NoError(t, test.Hear(FailureAttr, Tell(Failure{Expected: "a log"})))
	require.Equal(t, "expected: a log; seen: nothing", test.Failure.line(), "an empty text is told")
	require.NoError(t, test.Hear("somebody else's", "{"))
	require.ErrorContains(t, test.Hear(FailureAttr, "{"), "read attribute failure of test TestA")
}

func TestOtherToolsGetTheSameRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := redRun()
	r.Name = "e2e"
	r.Tests[2].Reruns, r.Tests[2].RerunsPassed = 3, 1
	summary := filepath.Join(dir, "step-summary")
	require.NoError(t, os.WriteFile(summary, []byte("before\n"), 0o600))
	require.NoError(t, r.Publish(dir, summary, mask.New("k3d-full-server-0")))

	var junit struct {
		Name       string `xml:"name,attr"`
		Tests      int    `xml:"tests,attr"`
		Failures   int    `xml:"failures,attr"`
		Errors     int    `xml:"errors,attr"`
		Properties []Fact `xml:"testsuite>properties>property"`
		Cases      []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testsuite>testcase"`
	}
	text, err := os.ReadFile(filepath.Join(dir, JUnitFile))
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, &junit))
	require.Equal(t, "e2e", junit.Name)
	require.Equal(t, []int{6, 2, 1}, []int{junit.Tests, junit.Failures, junit.Errors}, "four tests, two parts")
	require.Len(t, junit.Properties, len(r.Versions))
	require.Contains(t, string(text), `<property name="Kubernetes" value="v1.34.4">`)
	require.Equal(t, "TestRestoreState/timers", junit.Cases[3].Name)
	require.Equal(t, "expected: the timer fires <b>after</b> the checkpoint; seen: it has not fired", junit.Cases[3].Failure.Message)

	var ctrf struct {
		ReportFormat string
		Results      struct {
			Summary map[string]int64
			Tests   []struct {
				Name, Status, Message string
				Duration              int64
				Retries               int
			}
		}
	}
	text, err = os.ReadFile(filepath.Join(dir, CTRFFile))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &ctrf))
	require.Equal(t, "CTRF", ctrf.ReportFormat)
	require.EqualValues(t, 1, ctrf.Results.Summary["failed"])
	require.EqualValues(t, 1, ctrf.Results.Summary["other"])
	require.EqualValues(t, 60000, ctrf.Results.Summary["stop"]-ctrf.Results.Summary["start"])
	require.Equal(t, "passed 1 of 3 times when run again, and stays red; timers: expected: the timer fires <b>after</b> the checkpoint; seen: it has not fired", ctrf.Results.Tests[2].Message)

	text, err = os.ReadFile(summary)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "before\n## ❌ cedana-e2e: 1 passed, 1 failed"))
	require.Contains(t, string(text), "- **TestRestoreState**: passed 1 of 3 times")
}

// However much is red, a job's summary is one screen.
func TestTheSummaryIsOneScreen(t *testing.T) {
	t.Parallel()
	r := redRun()
	for i := range 200 {
		r.Tests = append(r.Tests, &Test{Name: fmt.Sprintf("Test%d", i), Outcome: Failed, Reason: strings.Repeat("long ", 1000) + "\nand more"})
	}
	require.LessOrEqual(t, strings.Count(r.Summary(), "\n"), 30)
	require.Less(t, len(r.Summary()), 6000)
	require.Contains(t, r.Summary(), "and 192 more")
}
