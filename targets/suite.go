package targets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/cluster"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/local/engine"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// propagatorLines is how much of the local propagator's log is kept.
const propagatorLines = 20000

// suite runs the tests against what cluster and deploy have made.
func (r *run) suite(ctx context.Context) error {
	options, err := r.compiledSuite()
	if err != nil {
		return err
	}
	return suite.Run(ctx, r.con, r.settings, options)
}

// collect keeps what is needed to understand a failed set-up, as far as there is anything. A user who pressed Ctrl-C
// does not want to wait for it.
func (r *run) collect(ctx context.Context, failure error) error {
	if failure == nil || r.made == nil || context.Cause(ctx) == context.Canceled {
		return failure
	}
	return errors.Join(failure, suite.Collect(context.WithoutCancel(ctx), r.con, r.settings, r.suiteOptions()))
}

// compiledSuite is suiteOptions with what compileTests has begun, if it has: it waits for that.
func (r *run) compiledSuite() (suite.Options, error) {
	if r.compiling != nil {
		if err := r.compiling.Wait(); err != nil {
			return suite.Options{}, err
		}
	}
	options := r.suiteOptions()
	options.Compiled = r.tests
	return options, nil
}

func (r *run) suiteOptions() suite.Options {
	o := suite.Options{
		URL: r.url, Token: r.token, ClusterID: r.clusterID, Registered: r.identity != nil && r.identity.Registered,
		Nginx: r.pods.Nginx.Ref, Counter: r.pods.Counter.Ref, Phases: r.phases,
	}
	if r.noCluster != nil {
		o.NoCluster = r.noCluster.Error()
		return o
	}
	o.Kubeconfig, o.Context, o.Sources = r.made.Kubeconfig, r.made.Context, r.sources()
	return o
}

// sources are what only this package can get of a run.
func (r *run) sources() []suite.Source {
	var sources []suite.Source
	if r.settings.Existing == nil {
		sources = append(sources, suite.Source{Name: "the nodes' logs", Collect: func(ctx context.Context, dir string) error {
			return r.made.Logs(ctx, filepath.Join(dir, "nodes"))
		}})
	}
	if !r.settings.SkipHelm {
		sources = append(sources, suite.Source{Name: "the Helm release", Collect: func(ctx context.Context, dir string) (err error) {
			file, err := os.Create(filepath.Join(dir, "helm.txt"))
			if err != nil {
				return fmt.Errorf("write the release's description: %w", err)
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			return deploy.Describe(ctx, r.settings, deploy.Options{Kubeconfig: r.made.Kubeconfig, Context: r.made.Context, Token: r.token}, file)
		}})
	}
	if r.container == "" {
		return sources
	}
	return append(sources, suite.Source{Name: "the propagator's log", Collect: func(ctx context.Context, dir string) error {
		text, err := docker.Tail(ctx, r.docker, r.container, propagatorLines)
		if writeErr := os.WriteFile(filepath.Join(dir, "propagator.log"), []byte(text), 0o644); writeErr != nil {
			err = errors.Join(err, fmt.Errorf("write the propagator's log: %w", writeErr))
		}
		return err
	}})
}

// Logs collects what the cluster of these settings has to tell into the artifacts directory, and prints where. It
// changes nothing in the cluster.
func Logs(ctx context.Context) error {
	r, err := begin(ctx)
	if err != nil {
		return err
	}
	defer r.end()
	if r.settings.Existing != nil {
		r.made = &cluster.Cluster{Name: r.settings.ClusterName, Kubeconfig: r.settings.Existing.Kubeconfig, Context: r.settings.Existing.Context}
		return r.keepLogs(ctx)
	}
	e, err := engine.Find(ctx, engineOptions(r.settings, r.con))
	if err != nil {
		return fmt.Errorf("find the engine of cluster %s: %w", r.settings.ClusterName, err)
	}
	r.engine = e
	if r.docker, err = e.Client(); err != nil {
		return err
	}
	if r.made, err = cluster.Find(ctx, r.settings, e.Host); err != nil {
		return err
	}
	if local, err := backend.Find(ctx, r.settings); err == nil {
		r.container, r.token = local.Container, local.Token
	} else if !errors.Is(err, backend.ErrNotFound) {
		return err
	}
	return r.keepLogs(ctx)
}

func (r *run) keepLogs(ctx context.Context) error {
	if err := suite.Collect(ctx, r.con, r.settings, r.suiteOptions()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(r.con.Data(), filepath.Join(r.settings.Artifacts, suite.FailureDir))
	return err
}
