package targets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/platform"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
	"github.com/cedana/cedana-e2e/targets/tracing"
)

// run is one run of a target: what all its stages have in common.
type run struct {
	con      *console.Console
	settings *platform.Settings
	platform platform.Platform
	// contract checks what is said to the propagator against an OpenAPI document; nil without one.
	contract *contract.Check
	// record has the stages so far with the time that each took.
	record *report.Run

	// lost ends the run where it does not have the cluster to itself any more.
	lost func(error)
	// release lets other machines' runs have the cluster; nil before it was held.
	release func() error
}

// begin reads the settings; nothing is created before all of them are good.
func begin() (*run, error) {
	s, err := platform.Load()
	check, err := loadContract(s.Suite.Tests.OpenAPI, err)
	if err != nil {
		return nil, err
	}
	con := console.Standard()
	con.Learn(settings.DurationsFile(s.Home))
	con.Step("backend %s, cluster %s, run %s", s.Backend, s.ClusterName, s.RunID)
	return &run{con: con, settings: s, platform: platform.New(con, s, observed(check)...), contract: check, record: suite.Begin(&s.Suite, s.Given)}, nil
}

// beginAlone is begin for a target that changes the cluster. Of two with one cluster, the second waits until the first
// has called unlock, or until its own time for the cluster is up. The run is to go on with the context that is returned.
func beginAlone(ctx context.Context, target string) (running context.Context, r *run, unlock func(), err error) {
	if r, err = begin(); err != nil {
		return nil, nil, nil, err
	}
	s := r.settings
	running, end := context.WithCancelCause(ctx)
	r.lost = func(why error) {
		r.con.Fail("%v", why)
		end(why)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Cluster.Timeout, fmt.Errorf("not its turn within E2E_CLUSTER_TIMEOUT=%s", s.Cluster.Timeout))
	defer cancel()
	release, err := filelock.Lock(ctx, r.con, filepath.Join(s.ClusterDir(), state.LockFile), fmt.Sprintf("runs %s with cluster %s", target, s.ClusterName))
	if err != nil {
		end(nil)
		return nil, nil, nil, fmt.Errorf("%w (next: choose another CLUSTER_NAME to run beside it)", err)
	}
	return running, r, func() {
		end(nil)
		if r.release != nil {
			if err := r.release(); err != nil {
				r.con.Warn("%v", err)
			}
		}
		release()
		for _, dir := range []string{s.ClusterDir(), s.Clusters()} {
			// Fails where there is something in it: only what the lock alone has made is removed.
			_ = os.Remove(dir)
		}
		settings.RemoveOwner(s.Home)
	}, nil
}

// end ends the record of a run that did not come to the tests, which do it else. One that could not work has made nothing,
// and leaves nothing.
func (r *run) end(verdict error) error {
	if verdict == nil || r.record.Outcome != report.Interrupted || len(r.record.Phases) <= 1 {
		return verdict
	}
	m := mask.New(r.settings.Token)
	r.record.End(m.Error(verdict))
	verdict = errors.Join(verdict, r.record.Remember(m, report.Histories(r.settings.Run)...))
	return errors.Join(verdict, r.record.Publish(r.settings.Artifacts, os.Getenv("GITHUB_STEP_SUMMARY"), m))
}

// stage does one stage of a run and takes its time.
func stage[T any](ctx context.Context, r *run, name string, do func(context.Context) (T, error)) (out T, err error) {
	ctx, end := tracing.Span(ctx, name)
	defer func() { end(err != nil) }()
	err = r.record.Phase(name, func() error {
		out, err = do(ctx)
		return err
	})
	return out, err
}
