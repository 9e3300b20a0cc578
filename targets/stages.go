package targets

import (
	"context"
	"errors"
	"fmt"

	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/platform"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// checked is what is known before anything is created.
type checked struct {
	// propagator is nil where there is none before there is a cluster.
	propagator *platform.Connection
	// chart is nil where none is installed.
	chart *deploy.Checked
}

// there is a cluster with Cedana in it.
type there struct {
	cluster    *platform.Cluster
	propagator *platform.Connection
	identity   *deploy.Identity
}

// ready makes the cluster usable and Cedana ready in it. Where there is no cluster to be had it makes nothing, and the
// error is a [*deploy.NoClusterError].
//
// idle is called, maybe more than once, when processors are idle: when the node is compiled in this run, while it is
// linked, and else during the deployment, whose pods wait more than they compute.
func (r *run) ready(ctx context.Context, idle func()) (*there, error) {
	given, err := stage(ctx, r, "check what is given", r.check)
	if err != nil {
		return nil, err
	}
	// Before there is a cluster: where registering one is not allowed, none is needed.
	identity, err := r.platform.Cedana.Register(ctx, given.propagator)
	if err != nil {
		return nil, err
	}
	cluster, err := stage(ctx, r, "make the cluster", func(ctx context.Context) (*platform.Cluster, error) {
		return r.makeCluster(ctx, idle)
	})
	if err != nil {
		return nil, err
	}
	idle()
	return stage(ctx, r, "deploy Cedana", func(ctx context.Context) (*there, error) {
		return r.deploy(ctx, cluster, given, identity)
	})
}

// check finds out all that can be known before anything is created: whether a live propagator takes us, whether there is
// such a chart, and whether it knows the values.
func (r *run) check(ctx context.Context) (given checked, err error) {
	if given.propagator, err = r.platform.Propagator.Preflight(ctx); err != nil {
		return given, err
	}
	planned, err := r.platform.Propagator.Planned()
	if err != nil {
		return given, err
	}
	given.chart, err = r.platform.Cedana.Check(ctx, planned)
	return given, err
}

// makeCluster makes the cluster usable within its time. idle may be nil.
func (r *run) makeCluster(ctx context.Context, idle func()) (*platform.Cluster, error) {
	if err := settings.KeepOwner(r.settings.Home); err != nil {
		return nil, err
	}
	limit := r.settings.Cluster.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no success within E2E_CLUSTER_TIMEOUT=%s", limit))
	defer cancel()
	return r.platform.Clusters.Make(ctx, idle)
}

// deploy installs Cedana in the cluster. What is needed to understand its failure is kept.
func (r *run) deploy(ctx context.Context, cluster *platform.Cluster, given checked, identity *deploy.Identity) (*there, error) {
	made := &there{cluster: cluster, propagator: given.propagator, identity: identity}
	release, err := r.platform.Cedana.Hold(ctx, cluster, r.lost)
	if err != nil {
		return nil, err
	}
	r.release = release
	to, err := r.platform.Propagator.Connect(ctx, cluster, given.propagator)
	if err != nil {
		return nil, r.collect(ctx, made, err)
	}
	made.propagator = to
	installed, err := r.platform.Cedana.Install(ctx, cluster, to, given.chart, identity)
	if err != nil {
		return nil, r.collect(ctx, made, err)
	}
	made.identity = installed
	return made, nil
}

// collect keeps what is needed to understand a failed set-up. A user who pressed Ctrl-C does not want to wait for it.
func (r *run) collect(ctx context.Context, made *there, failure error) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return failure
	}
	return errors.Join(failure, suite.Collect(context.WithoutCancel(ctx), r.con, &r.settings.Suite, r.suiteOptions(made)))
}
