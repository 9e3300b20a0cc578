//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/build/parent"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/tracing"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// cluster is what all cases share. It does not change after TestMain.
var cluster *fixture.Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	ctx, end, err := tracing.Start(context.Background(), "tests")
	if err == nil {
		err = prepare(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	if os.Getenv(settings.TestFileVariable) != "" { // a target runs them
		go func() {
			<-parent.GroupGone(ctx)
			fmt.Fprintln(os.Stderr, "e2e: the target that runs the tests is gone")
			os.Exit(1)
		}()
	}
	code := m.Run()
	end(code != 0)
	if err := cluster.KeepExchanges(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func prepare(ctx context.Context) error {
	env, err := environment.Load()
	if err != nil {
		return err
	}
	if flag.Lookup("test.run").Value.String() == "" {
		// Without names to run, those of the group: what was not asked for does not begin, and so is not listed as skipped.
		if err := flag.Set("test.run", selection(env.Suite)); err != nil {
			return fmt.Errorf("select the group %s: %w", env.Suite, err)
		}
		kept := artifacts.Directory{Path: env.Artifacts}
		if env.Suite == environment.TryPods || env.Suite == environment.Bench {
			// Who tries a pod of his own, or wants figures, has not asked for tests.
		} else if err := kept.Write(artifacts.OtherGroupsFile, []byte(others(env.Suite)+"\n")); err != nil {
			return err
		}
	}
	cluster, err = fixture.Open(ctx, env)
	return err
}

// begin starts a case, which has pods, beside the others.
func begin(t *testing.T) *steps.Steps {
	t.Helper()
	return with(cluster.Begin(t))
}

// beginAlone is begin for a case that measures or breaks things: no other runs meanwhile.
func beginAlone(t *testing.T) *steps.Steps {
	t.Helper()
	return with(cluster.BeginAlone(t))
}

// with are the steps of a case. The propagator is what checkpoints and restores, and this is the one place that says so.
func with(f *fixture.Fixture) *steps.Steps {
	f.Helper()
	return steps.New(f, steps.NewPropagator(f, f.Env.Token))
}
