package targets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/cluster"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/local/engine"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// propagatorLogLines is enough for a whole run.
const propagatorLogLines = 20000

// suite runs the tests.
func (r *run) suite(ctx context.Context) error {
	return suite.Run(ctx, r.con, r.settings, r.suiteOptions())
}

// collect keeps the artifacts of a failed set-up; the failure itself is what the user must hear of.
func (r *run) collect(ctx context.Context) {
	if err := suite.Collect(context.WithoutCancel(ctx), r.con, r.settings, r.suiteOptions()); err != nil {
		r.con.Warn("artifacts are not complete: %v", err)
	}
}

func (r *run) suiteOptions() suite.Options {
	return suite.Options{
		URL: r.url, Token: r.token, ClusterID: r.clusterID,
		Kubeconfig: r.made.Kubeconfig, Context: r.made.Context,
		Nginx: r.pods.Nginx.Ref, Counter: r.pods.Counter.Ref, Busybox: r.pods.Busybox.Ref,
		Sources: r.sources(), Phases: r.phases,
	}
}

// sources are the logs that the cluster's API cannot give.
func (r *run) sources() []suite.Source {
	sources := []suite.Source{{Name: "nodes", Collect: r.made.Logs}}
	if r.container != "" {
		sources = append(sources, suite.Source{Name: "propagator", Collect: func(ctx context.Context, dir string) error {
			return propagatorLog(ctx, r.engine.Host, r.container, dir)
		}})
	}
	return sources
}

func propagatorLog(ctx context.Context, host, container, dir string) error {
	c, err := docker.Connect(host)
	if err != nil {
		return err
	}
	defer c.Close()
	text, err := docker.Tail(ctx, c, container, propagatorLogLines)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "propagator.log"), []byte(text), 0o600)
}

// Logs writes the logs of what runs now to the artifacts directory.
func Logs(ctx context.Context) error {
	s, err := settings.Load(ctx)
	if err != nil {
		return err
	}
	r := &run{con: console.Standard(), settings: s}
	defer r.end()
	if r.engine, err = engine.Find(ctx, engineOptions(s, r.con)); err != nil {
		return fmt.Errorf("find the cluster's Docker engine: %w (next: `go tool mage doctor`)", err)
	}
	if r.made, err = cluster.Find(ctx, s, r.engine.Host); err != nil {
		return fmt.Errorf("%w (next: `go tool mage cluster`)", err)
	}
	if s.Backend == settings.BackendLocal {
		// Without a propagator there is no log of one to keep.
		if local, err := backend.Find(ctx, s); err == nil {
			r.container, r.token = local.Container, local.Token
		}
	}
	return suite.Collect(ctx, r.con, s, r.suiteOptions())
}
