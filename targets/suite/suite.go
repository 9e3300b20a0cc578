// Package suite runs the end-to-end tests, keeps what is needed to understand a failure, and says what a run means.
package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/tracing"
)

// Options is what a run needs beside the settings.
type Options struct {
	// Dir is the repository. Default: the working directory, which under mage is the repository.
	Dir string
	// Compiled is the suite; without it, it is compiled.
	Compiled *Compiled
	// URL and Token of the propagator, and the cluster's id there.
	URL       string
	Token     settings.Secret
	ClusterID string
	// Kubeconfig and Context default to the settings' own cluster.
	Kubeconfig string
	Context    string
	// ClusterName is the k3d cluster whose nodes the tests may stop; empty where they may not.
	ClusterName string
	// Subject is what is tested.
	Subject Subject
	// Registered says that a run registered the cluster with this token, so that registering another must work too.
	Registered bool
	// NoCluster is why there is no cluster, and what to do about it. Then only the tests that need no pods run.
	NoCluster string
	// Nginx and Counter are the images of the pods under test.
	Nginx, Counter string
	// Programs are images of programs, by name.
	Programs map[string]string
	// Sources are what Collect keeps besides the cluster's own objects, when the run fails.
	Sources []Source
	// Record is the run's so far, with what was done before the tests. Default: one that begins now.
	Record *report.Run
	// Versions tells what can be known only on the cluster's nodes; nil where they are not ours. It runs beside the tests.
	Versions func(ctx context.Context) ([]report.Fact, error)
	// Contract checks the exchanges of the API, the tests' too; nil does not.
	Contract *contract.Check
	// Getenv reads GITHUB_ACTIONS and GITHUB_STEP_SUMMARY. Default: os.Getenv.
	Getenv func(name string) string
}

// Subject is what is tested, and by that what a run is worth.
type Subject struct {
	// Meaning is what a green run says. It is printed for every run: a green one on a stand-in must not be taken for a
	// statement about Cedana.
	Meaning string
	// Ours says that the propagator is this project's own: the tests may look at its state, and an answer that is not as
	// the API's document has it is a failure.
	Ours bool
}

func (o Options) withDefaults(s *settings.Suite) Options {
	if o.Dir == "" {
		o.Dir = "."
	}
	if o.Kubeconfig == "" {
		o.Kubeconfig = s.Kubeconfig()
	}
	if o.Context == "" {
		o.Context = s.KubeContext()
	}
	if o.URL == "" {
		o.URL = s.URL
	}
	if !o.Token.Set() {
		o.Token = s.Token
	}
	if o.ClusterID == "" {
		o.ClusterID = s.ClusterID
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return o
}

// What a run leaves in the artifacts directory.
const (
	eventsFile = "test.json"
	// FailureDir is where Collect writes.
	FailureDir = "failure"
	// contractFile has what the API's exchanges say about the OpenAPI document.
	contractFile = "openapi.json"
)

// collectTimeout bounds the collection of artifacts after a failure.
const collectTimeout = time.Minute

// Run runs the tests, compiled first unless they are, within the settings' SuiteTimeout without the compilation. Output goes to the
// console's progress as it comes; a summary goes to the console's data and to $GITHUB_STEP_SUMMARY. The error names
// the tests that failed; a run in which no test passed is an error too.
func Run(ctx context.Context, con *console.Console, s *settings.Suite, opts Options) (err error) {
	opts = opts.withDefaults(s)
	m := mask.New(opts.Token)
	defer func() { err = m.Error(err) }()
	if err := prepareArtifacts(s.Artifacts); err != nil {
		return err
	}
	to := &Report{Subject: opts.Subject, URL: opts.URL, NoCluster: opts.NoCluster}
	if opts.Record == nil {
		opts.Record = Begin(s, nil)
	}
	to.Run = *opts.Record
	defer func() { *opts.Record = to.Run }()
	to.Meaning, to.Name = to.meaning(), opts.Getenv("GITHUB_JOB")

	compiled := opts.Compiled
	if compiled == nil {
		err := to.Phase("compile the tests", func() (err error) {
			compiled, err = Compile(ctx, con, s, opts.Dir)
			return err
		})
		if err != nil {
			return err
		}
	}

	versions := make(chan func(), 1)
	go func() { versions <- to.versions(ctx, con, s, opts, compiled) }()
	runErr := con.Run(ctx, "run the tests", func(ctx context.Context, step *console.Step) (err error) {
		ctx, end := tracing.Span(ctx, "run the tests")
		defer func() { end(err != nil) }()
		err = to.Phase("run the tests", func() error { return runTests(ctx, con, step, s, opts, m, compiled, to) })
		step.Note("%s", to.Counts())
		return err
	})
	(<-versions)()
	var rerunErr error
	if ctx.Err() == nil {
		rerunErr = to.rerun(ctx, con, s, &Program{settings: s, options: opts, compiled: compiled, mask: m})
	}
	verdict := to.verdict(runErr, s)
	var measuredErr error
	to.Measured, measuredErr = measurements(filepath.Join(s.Artifacts, report.CasesDir, artifacts.MeasuredDir))
	var groupsErr error
	to.NotAskedFor, groupsErr = notAskedFor(filepath.Join(s.Artifacts, report.CasesDir))
	verdict = errors.Join(verdict, rerunErr, measuredErr, groupsErr)
	if opts.Contract != nil {
		verdict = errors.Join(verdict, to.checkContract(con, s, opts.Contract, runErr == nil))
	}

	// What follows is done for an interrupted run too, which mage lets live for 5 s more.
	after := context.WithoutCancel(ctx)
	if verdict != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
		verdict = errors.Join(verdict, Collect(after, con, s, opts))
	}
	verdict = errors.Join(verdict, maskFiles(s.Artifacts, m))
	to.End(m.Error(verdict))
	verdict = errors.Join(verdict, to.Remember(m, report.Histories(s.Run)...))
	return errors.Join(verdict, to.publish(con, s, opts.Getenv("GITHUB_STEP_SUMMARY"), m))
}

// prepareArtifacts makes the directory and removes what an earlier run left of what this one writes. Anything else
// in it stays: the directory is the user's.
func prepareArtifacts(dir string) error {
	for _, name := range append(report.Files(), eventsFile, contractFile, report.CasesDir, FailureDir) {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove artifacts of an earlier run: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, report.CasesDir), 0o755); err != nil {
		return fmt.Errorf("make artifacts directory: %w", err)
	}
	return nil
}

// verdict is the error of the run: nil only when tests passed and none failed.
func (r *Report) verdict(runErr error, s *settings.Suite) error {
	failed := names(r.Of(report.Failed))
	interrupted := names(r.Of(report.Interrupted))
	switch {
	case len(failed) > 0 || len(interrupted) > 0:
		text := fmt.Sprintf("run the tests: %s", r.Counts())
		if len(failed) > 0 {
			text += "; failed: " + strings.Join(failed, ", ")
		}
		if len(interrupted) > 0 {
			text += "; not finished: " + strings.Join(interrupted, ", ")
		}
		text += "; see " + s.Artifacts
		if s.Tests.Suite != settings.TryPods {
			text += fmt.Sprintf("; one test again: E2E_RUN=%s go tool mage e2e", append(failed, interrupted...)[0])
		}
		if cause := interruption(runErr); cause != nil {
			return fmt.Errorf("%s: %w", text, cause)
		}
		return errors.New(text)
	case runErr != nil:
		return fmt.Errorf("run the tests: %w; what they wrote is above and in %s", runErr, filepath.Join(s.Artifacts, eventsFile))
	case len(r.Tests) == 0:
		return fmt.Errorf("run the tests: none has a name that matches E2E_RUN=%s; `go test -tags e2e -list . ./tests/e2e` lists them", s.Pattern)
	case len(r.Of(report.Passed)) == 0:
		return fmt.Errorf("run the tests: all %d were skipped, so nothing was tested: %s", len(r.Tests), r.Tests[0].Reason)
	}
	return nil
}

// interruption is the reason the run was ended from outside, if it was.
func interruption(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*timeoutError)) {
		return err
	}
	return nil
}

// maskFiles masks whatever secret got into a file in spite of all: the tests and the sources write files of their own.
func maskFiles(dir string, m mask.Mask) error {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if masked := m.Text(string(data)); masked != string(data) {
			return os.WriteFile(path, []byte(masked), 0o644)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mask secrets in artifacts: %w", err)
	}
	return nil
}
