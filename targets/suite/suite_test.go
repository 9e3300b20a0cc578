package suite

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

const canary = "canary-token-1b9d"

// fixture runs the small suite in testdata with the real go and gotestsum.
type fixture struct {
	settings       *settings.Suite
	options        Options
	progress, data bytes.Buffer
	stepSummary    string
}

func newFixture(t *testing.T, run string) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{stepSummary: filepath.Join(dir, "step-summary")}
	f.settings = &settings.Suite{
		Run:        settings.Run{ClusterName: "unit", RunID: "1a2b3c4d", Home: filepath.Join(dir, "home"), Artifacts: filepath.Join(dir, "artifacts")},
		Propagator: settings.Propagator{Backend: settings.BackendLocal},
		Timeout:    time.Minute, Parallel: 2, Pattern: run,
		Tests: settings.Tests{
			CedanaNamespace: "cedana-system", Namespace: "cedana-e2e", RuncRoot: "/run/containerd/runc/k8s.io", Suite: settings.Smoke,
			PodTimeout: seconds(1), TimeoutScale: 1, CheckpointTimeout: seconds(2), RestoreTimeout: seconds(3), ChaosTime: seconds(4), Cycles: 5, Samples: 6, Seed: 7, Keep: true,
		},
	}
	f.options = Options{
		Dir: "testdata/sample", URL: "http://127.0.0.1:1", Token: canary, ClusterID: "cluster-id",
		Nginx: "nginx:1", Counter: "counter:1", ClusterName: "unit", Subject: Subject{Meaning: "Local backend: it says nothing about Cedana itself.", Ours: true},
		Getenv: func(name string) string { return map[string]string{"GITHUB_STEP_SUMMARY": f.stepSummary}[name] },
	}
	return f
}

func seconds(n int) settings.Duration {
	return settings.Duration{Duration: time.Duration(n) * time.Second}
}

func (f *fixture) run(ctx context.Context) error {
	f.options.Record = Begin(f.settings, nil)
	f.options.Record.Phases = []report.Phase{{Name: "create the cluster", Took: 7470 * time.Millisecond}}
	return Run(ctx, console.New(&f.progress, &f.data), f.settings, f.options)
}

func TestAPartOfTheSuiteIsRunAndWhatFailedIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	program, err := Load(t.Context(), console.New(&f.progress, &f.data), f.settings, f.options)
	require.NoError(t, err)
	ran, err := program.Run(t.Context(), Pick{Tests: []string{"TestPasses", "TestFails"}, Limit: time.Minute})
	require.NoError(t, err, "a test that fails is no error")
	require.Len(t, ran.Tests, 2)
	require.Equal(t, []string{"TestFails"}, names(ran.Failed()))
	require.Contains(t, ran.Failed()[0].Output, "sample_test.go:")
	require.NotContains(t, ran.Failed()[0].Output, canary)

	_, err = program.Run(t.Context(), Pick{Tests: []string{"TestNobodyWrote"}, Limit: time.Minute})
	require.ErrorContains(t, err, "no test began")
}

func (f *fixture) artifact(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.settings.Artifacts, name))
	require.NoError(t, err)
	return string(data)
}

func TestAGreenRunSaysWhatItIsWorth(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestPasses|TestSkipped")
	require.NoError(t, f.run(t.Context()))
	require.Contains(t, f.data.String(), "1 passed, 0 failed, 1 skipped")
	require.Contains(t, f.data.String(), "it says nothing about Cedana itself")
	require.Regexp(t, `TestSkipped +skipped +\S+ +needs a second node: E2E_AGENTS=1`, f.data.String())
	require.Regexp(t, `create the cluster +7.47s`, f.data.String())
	require.Contains(t, f.progress.String(), "TestPasses")

	summary, err := os.ReadFile(f.stepSummary)
	require.NoError(t, err)
	require.Contains(t, string(summary), "## ✅ cedana-e2e: 1 passed, 0 failed, 1 skipped")
	require.Equal(t, string(summary), f.artifact(t, "summary.md"))
	var junit struct {
		Tests int `xml:"tests,attr"`
	}
	require.NoError(t, xml.Unmarshal([]byte(f.artifact(t, "junit.xml")), &junit))
	require.Equal(t, 3, junit.Tests, "a test, its part, and the skipped one")
	require.Contains(t, f.artifact(t, "test.json"), `"Action":"pass"`)
	require.NoDirExists(t, filepath.Join(f.settings.Artifacts, "failure"))

	left, err := filepath.Glob(filepath.Join(f.settings.ClusterDir(), "run-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestWhatTheTestsMeasureIsPrintedAtTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestMeasures")
	require.NoError(t, f.run(t.Context()))
	const table = "WHAT     N  MEDIAN\nrestore  5  1.1s\n"
	require.Contains(t, f.data.String(), "\nMEASURED: restores\n"+table)
	require.Contains(t, f.artifact(t, "report.html"), table)
}

func TestOtherGroupsAreOneLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestLeavesALineAboutOtherGroups")
	require.NoError(t, f.run(t.Context()))
	require.Contains(t, f.data.String(), "1 passed, 0 failed, 0 skipped\nnot asked for: 3 in SUITE=full\n")
	require.Contains(t, f.artifact(t, "summary.md"), "\nnot asked for: 3 in SUITE=full\n")
	f = newFixture(t, "TestPasses")
	require.NoError(t, f.run(t.Context()))
	require.NotContains(t, f.data.String(), "not asked for")
}

// The file stays, for a test by hand; the token is not in it.
func TestTheTestsAreGivenEverythingInOneFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestPrintsItsSettings")
	require.NoError(t, f.run(t.Context()))
	path := filepath.Join(f.settings.ClusterDir(), settings.TestFileName)
	given, err := settings.ReadTestFile(path)
	require.NoError(t, err)
	require.Equal(t, settings.TestFile{
		Tests: f.settings.Tests, Backend: settings.BackendLocal, URL: "http://127.0.0.1:1", ClusterID: "cluster-id",
		StateFile:  filepath.Join(f.settings.ClusterDir(), "state.json"),
		Kubeconfig: f.settings.Kubeconfig(), KubeContext: "k3d-unit", ClusterName: "unit", ImageNginx: "nginx:1", ImageCounter: "counter:1",
		RunID: "1a2b3c4d", Artifacts: filepath.Join(f.settings.Artifacts, "cases"),
	}, given)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), canary)
	require.Contains(t, f.artifact(t, "test.json"), "RunID:1a2b3c4d", "the tests had it")
}

func TestTheStateOfAPropagatorThatIsNotOursIsNotLookedAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.options.Subject.Ours = false
	require.Empty(t, testFile(f.settings, f.options).StateFile)
}

func TestARunWithoutAClusterSaysWhyAndWhatItIsWorth(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestPrintsItsSettings")
	f.settings.Backend, f.options.ClusterID, f.options.NoCluster = settings.BackendLive, "", "no cluster and no right to register one"
	require.NoError(t, f.run(t.Context()))
	require.Contains(t, f.artifact(t, "test.json"), "NoCluster:no cluster and no right to register one")
	require.Contains(t, f.data.String(), "without a cluster: only the API at http://127.0.0.1:1 was asked")
	require.Contains(t, f.data.String(), "no right to register one")
	require.NotContains(t, f.data.String(), "made and restored these checkpoints")
}

func TestARedRunNamesTheTestsAndKeepsWhatItCan(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestPasses|TestFails")
	f.options.Sources = []Source{
		{"node logs", func(_ context.Context, dir string) error {
			return os.WriteFile(filepath.Join(dir, "node.log"), []byte("log with "+canary), 0o600)
		}},
		{"the propagator's log", func(context.Context, string) error { return errors.New("it is gone, with " + canary) }},
	}
	err := f.run(t.Context())
	require.ErrorContains(t, err, "1 passed, 1 failed, 0 skipped; failed: TestFails")
	require.ErrorContains(t, err, "E2E_RUN=TestFails go tool mage e2e")
	require.Equal(t, "log with ***", f.artifact(t, "failure/node.log"))
	require.Contains(t, f.progress.String(), "collect the propagator's log: it is gone, with ***")
	require.Contains(t, f.progress.String(), "read kubeconfig", "there is no cluster, which is said")
	require.Contains(t, f.artifact(t, "summary.md"), "## ❌ cedana-e2e: 1 passed, 1 failed, 0 skipped")
	require.Contains(t, f.artifact(t, "summary.md"), `the counter | went back`)
}

func TestTheTokenIsInNothingThatARunLeaves(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestLeaksTheToken")
	err := f.run(t.Context())
	require.ErrorContains(t, err, "failed: TestLeaksTheToken")
	require.NotContains(t, err.Error(), canary)
	require.NotContains(t, f.progress.String(), canary)
	require.NotContains(t, f.progress.String(), "Y2FuYXJ5LXRva2VuLTFiOWQ=")
	require.Contains(t, f.progress.String(), "failed with ***")
	require.NotContains(t, f.data.String(), canary)
	require.Equal(t, "written ***", f.artifact(t, "cases/mine.txt"))
	for _, dir := range []string{f.settings.Artifacts, f.settings.ClusterDir(), filepath.Dir(f.stepSummary)} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			require.NotContains(t, string(data), canary, path)
			return err
		}))
	}
}

func TestARunThatTestsNothingIsNotGreen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestNoSuchThing")
	require.ErrorContains(t, f.run(t.Context()), "none has a name that matches E2E_RUN=TestNoSuchThing")
	f = newFixture(t, "TestSkipped")
	require.ErrorContains(t, f.run(t.Context()), "all 1 were skipped, so nothing was tested: needs a second node")
}

func TestTestsThatDoNotCompileAreToldApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.options.Dir = "testdata/broken"
	err := f.run(t.Context())
	require.ErrorContains(t, err, "compile the tests in testdata/broken/tests/e2e")
	require.ErrorContains(t, err, "undefined: missing")
}

func TestATestThatHangsIsEndedByItsOwnDeadline(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestSleeps")
	f.settings.Timeout = 18 * time.Second
	err := f.run(t.Context())
	require.ErrorContains(t, err, "TestSleeps")
	require.Contains(t, f.progress.String(), "panic: test timed out after 12s")
	require.Contains(t, f.progress.String(), "goroutine ")
}

func TestAnInterruptEndsEveryProcessOfTheRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestSleeps")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pidFile := filepath.Join(f.settings.Artifacts, "cases", "pid")
	go func() {
		for ctx.Err() == nil {
			if data, err := os.ReadFile(pidFile); err == nil && len(data) > 0 {
				cancel()
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	err := f.run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "TestSleeps")
	pid, err := strconv.Atoi(f.artifact(t, "cases/pid"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, 5*time.Second, 20*time.Millisecond,
		"the test program %d is still there", pid)
	require.FileExists(t, filepath.Join(f.settings.Artifacts, "summary.md"))
	require.NoDirExists(t, filepath.Join(f.settings.Artifacts, "failure"), "there is no time to collect")
}

func TestTheInnerLimitIsTheSmaller(t *testing.T) {
	t.Parallel()
	for whole, want := range map[time.Duration]time.Duration{
		10 * time.Minute: 9*time.Minute + 30*time.Second, 9 * time.Second: 6 * time.Second,
	} {
		inner, outer := limits(whole)
		require.Equal(t, want, inner)
		require.Equal(t, whole, outer)
	}
}

func TestNoSecretIsInAnArgument(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestX")
	require.NotContains(t, gotestsum(f.settings, f.options, "/raw", &Compiled{tests: "/e2e.test"}, time.Minute), canary)
	require.Contains(t, environment(t.Context(), f.options, "/tests.json"), "CEDANA_AUTH_TOKEN="+canary)
}

func TestAReasonIsWhatTheTestLoggedFirst(t *testing.T) {
	t.Parallel()
	var r Report
	for _, output := range []string{
		"=== RUN   A\n", "printed\n", "    a_test.go:12: restore pod nginx: not Ready\n", "      more of it\n", "    b_test.go:1: artifacts kept\n", "--- FAIL: A\n",
	} {
		r.add(event{Action: "output", Test: "A", Output: output})
	}
	r.add(event{Action: "output", Test: "B", Output: "panic: nothing was logged\n"})
	require.Equal(t, "restore pod nginx: not Ready", r.Tests[0].Reason)
	require.Equal(t, "panic: nothing was logged", r.Tests[1].Reason)
}

func TestAnotherRunsResultsAreNotMistakenForThisOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"junit.xml", "test.json", "summary.md", "cases/TestOld/pods.yaml", "failure/helm.txt", "theirs.txt"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	require.NoError(t, prepareArtifacts(dir))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2)
	require.Equal(t, "theirs.txt", left[1].Name(), "the directory is the user's")
	require.NoDirExists(t, filepath.Join(dir, "cases", "TestOld"))
}

func TestProgressTellsTheRunningFromTheWaiting(t *testing.T) {
	t.Parallel()
	var r Report
	for _, e := range []event{
		{Action: "run", Test: "A"}, {Action: "pause", Test: "A"}, {Action: "run", Test: "B"}, {Action: "pause", Test: "B"},
		{Action: "run", Test: "C"}, {Action: "fail", Test: "C"}, {Action: "cont", Test: "A"}, {Action: "run", Test: "A/part"},
	} {
		r.add(e)
	}
	require.Equal(t, "0 passed, 1 failed; running A; 1 waiting", r.progress())
	require.Equal(t, "0 passed, 1 failed, 0 skipped, 2 not finished", r.Counts())
}

func TestEventsAreReadInWholeLinesWhileTheFileGrows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events")
	var source eventFile
	var got []event
	read := func() error { return source.read(path, func(e event) { got = append(got, e) }) }
	require.NoError(t, read(), "not there yet")
	file, err := os.Create(path)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close(); source.close() })
	for _, part := range []string{`{"Action":"run",`, `"Test":"A"}` + "\n" + `{"Action":"pass","Test":"A","Elapsed":1.5}` + "\n", "{"} {
		_, err = io.WriteString(file, part)
		require.NoError(t, err)
		require.NoError(t, read())
	}
	require.Equal(t, []event{{Action: "run", Test: "A"}, {Action: "pass", Test: "A", Elapsed: 1.5}}, got)
	_, err = io.WriteString(file, "no JSON\n")
	require.NoError(t, err)
	require.ErrorContains(t, read(), "read test events")
}

// What the tests tell by attributes is in the record and in the report, and not on the terminal.
func TestTheRecordHasStepsAndFailures(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestTellsTheRecord|TestPasses")
	require.ErrorContains(t, f.run(t.Context()), "failed: TestTellsTheRecord")
	run, err := report.Load(f.settings.Artifacts)
	require.NoError(t, err)
	require.Equal(t, report.Failed, run.Outcome)
	require.Contains(t, run.Error, "failed: TestTellsTheRecord")
	told := run.Of(report.Failed)[0]
	require.Len(t, told.Steps, 1)
	require.Equal(t, report.StepRestore, told.Steps[0].Name)
	require.Equal(t, "it is gone, with ***", told.Parts[0].Failure.Seen)
	require.Equal(t, "timers", told.Parts[0].State)
	require.False(t, told.Start.Before(run.Start))
	require.NotContains(t, f.progress.String(), "=== ATTR")
	require.Equal(t, "run the tests", run.Phases[len(run.Phases)-1].Name)
	require.Contains(t, f.artifact(t, "report.html"), "it is gone, with ***")
	require.Regexp(t, `sha256:[0-9a-f]{64}`, run.Versions[len(run.Versions)-1].Value)
}

func TestRedTestsAreRunAgainAndStayRed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestIsGreenTheSecondTime|TestPasses")
	f.settings.Reruns = 2
	require.ErrorContains(t, f.run(t.Context()), "failed: TestIsGreenTheSecondTime")
	require.Contains(t, f.data.String(), "1 passed, 1 failed, 0 skipped")
	require.Contains(t, f.data.String(), "passed 1 of 2 times when run again, and stays red; not yet")
	require.Contains(t, f.artifact(t, "report.html"), "passed 1 of 2 times when run again, and stays red")
}

func TestARunIsRemembered(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "TestPasses")
	f.settings.History = filepath.Join(t.TempDir(), "elsewhere", "history.jsonl")
	require.NoError(t, f.run(t.Context()))
	f.settings.RunID, f.options.URL = "second", "http://127.0.0.1:2" // the same propagator at another port
	require.NoError(t, f.run(t.Context()))
	for _, file := range report.Histories(f.settings.Run) {
		entries, err := report.History(file)
		require.NoError(t, err)
		require.Len(t, entries, 2)
		require.Equal(t, report.Passed, entries[1].Tests["TestPasses"].Outcome)
	}
	require.Contains(t, f.artifact(t, "report.html"), "Against 1 earlier runs of the same versions: no test is flaky or slower.")
}
