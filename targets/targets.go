// Package targets is what the Mage targets do: each is a short sequence of stages, and a stage takes what the one before
// has returned.
package targets

import (
	"context"
	"errors"
	"fmt"

	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/platform"
	"github.com/cedana/cedana-e2e/targets/suite"
	"github.com/cedana/cedana-e2e/targets/tracing"
)

// E2E makes the cluster, deploys and runs the suite; what is there already is reused.
func E2E(ctx context.Context) error {
	ctx, r, unlock, err := beginAlone(ctx, "e2e")
	if err != nil {
		return err
	}
	defer unlock()
	return r.runTests(ctx, "mage e2e")
}

// runTests makes the cluster, deploys and runs the tests that the settings choose, with all that is kept of a run.
func (r *run) runTests(ctx context.Context, target string) (err error) {
	defer func() { err = r.end(err) }()
	ctx, endTrace, err := tracing.Start(ctx, target)
	if err != nil {
		return err
	}
	defer func() { endTrace(err != nil) }()
	tests := r.tests(ctx)
	defer tests.end()

	there, err := r.ready(ctx, tests.begin)
	var none *deploy.NoClusterError
	if errors.As(err, &none) {
		r.con.Warn("%v", none)
		r.con.Warn("nothing is made or deployed: the tests that need no pods run, the others are skipped")
		return suite.Run(ctx, r.con, &r.settings.Suite, r.withoutCluster(none))
	}
	if err != nil {
		return err
	}
	options, err := r.withTests(there, tests)
	if err != nil {
		return err
	}
	return suite.Run(ctx, r.con, &r.settings.Suite, options)
}

// Cluster makes the cluster usable and prints its kubeconfig file to stdout.
func Cluster(ctx context.Context) error {
	ctx, r, unlock, err := beginAlone(ctx, "cluster")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := r.check(ctx); err != nil {
		return err
	}
	cluster, err := r.makeCluster(ctx, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.con.Data(), cluster.Kubeconfig)
	return err
}

// Deploy makes the cluster usable and Cedana ready in it.
func Deploy(ctx context.Context) error {
	ctx, r, unlock, err := beginAlone(ctx, "deploy")
	if err != nil {
		return err
	}
	defer unlock()
	_, err = r.ready(ctx, func() {})
	return err
}

// Sensitivity makes the cluster, deploys, and breaks the stand-in on purpose to see whether the suite notices.
func Sensitivity(ctx context.Context) error {
	ctx, r, unlock, err := beginAlone(ctx, "sensitivity")
	if err != nil {
		return err
	}
	defer unlock()
	standIn, ok := r.platform.Propagator.(platform.Breakable)
	if !ok {
		return errors.New("break the stand-in on purpose: the backend is live, and only the local one may be broken: unset CEDANA_AUTH_TOKEN, or set E2E_BACKEND=local")
	}
	standIn.Mend()
	tests := r.tests(ctx)
	defer tests.end()

	there, err := r.ready(ctx, tests.begin)
	if err != nil {
		return err
	}
	options, err := r.withTests(there, tests)
	if err != nil {
		return err
	}
	program, err := suite.Load(ctx, r.con, &r.settings.Suite, options)
	if err != nil {
		return err
	}
	return standIn.TryFaults(ctx, there.cluster, there.propagator, program, func(ctx context.Context, to *platform.Connection) error {
		_, err := r.platform.Cedana.Install(ctx, there.cluster, to, nil, there.identity)
		return err
	})
}
