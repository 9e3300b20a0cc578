package platform

import (
	"context"

	"github.com/cedana/cedana-e2e/targets/cleanup"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Cleanup is how what runs have made is removed, on whatever platform each of them was.
func Cleanup(con *console.Console, s *Settings) cleanup.Options {
	lab := newLab(con, s)
	host, data := lab.PrivateEngine()
	return cleanup.Options{
		Engines: []cleanup.Engine{
			{Name: "system", Host: docker.Host()},
			{Name: "private", Host: host, Data: data},
		},
		StopEngine: lab.StopEngine,
		RemoveFrom: func(ctx context.Context, there state.Existing) ([]string, error) {
			in := s.Deploy
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
	}
}
