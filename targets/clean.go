package targets

import (
	"context"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/cleanup"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/local/engine"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Clean removes everything any run made, in the system's engine and in the private one.
func Clean(ctx context.Context) error {
	con := console.Standard()
	s, err := settings.Load(ctx)
	if err != nil {
		return err
	}
	return cleanup.Run(ctx, con, s, cleanup.Options{
		Engines: []cleanup.Engine{
			{Name: "system", Host: docker.Host()},
			{Name: "private", Host: "unix://" + filepath.Join(engine.DefaultRunDir, "docker.sock"), Data: filepath.Join(s.Home, "engine", "data")},
		},
		StopEngine: func(ctx context.Context) ([]string, error) { return engine.Stop(ctx, engineOptions(s, con)) },
		RemoveFrom: func(ctx context.Context, there state.Existing) ([]string, error) {
			in := *s
			in.CedanaNamespace = there.Namespace
			return deploy.Remove(ctx, &in, deploy.Options{Kubeconfig: there.Kubeconfig, Context: there.Context}, there.Runs)
		},
		Deregister: func(ctx context.Context, url string, token settings.Secret, clusterID string) error {
			api, err := propagator.New(url, token)
			if err != nil {
				return err
			}
			if err := api.DeleteCluster(ctx, clusterID); !propagator.IsNotFound(err) {
				return err
			}
			return nil
		},
	})
}
