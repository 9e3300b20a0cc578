package platform

import (
	"cmp"
	"context"
	"fmt"

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
		RemoveMachines: func(name string) ([]string, error) { return removeMachines(s.Home, name) },
		StopEngine:     func(ctx context.Context) ([]string, error) { return lab.StopEngine(ctx, s.Cleanup.AllOwners) },
		RemoveFrom: func(ctx context.Context, there state.Existing) ([]string, error) {
			in := s.Deploy
			in.CedanaNamespace = there.Namespace
			return deploy.Remove(ctx, &in, deploy.Options{Kubeconfig: there.Kubeconfig, Context: there.Context}, there.Runs)
		},
		Deregister: deregister,
	}
}

// deregister deletes the cluster at the propagator. That there is none is believed only where the token is of the user
// who registered it: another organisation's clusters are not there either.
func deregister(ctx context.Context, r state.Registration, token settings.Secret) error {
	api, err := propagator.New(r.URL, token)
	if err != nil {
		return err
	}
	defer api.Close()
	id := r.ID
	if id == "" {
		// The run was killed before it had the id. The name is its own.
		clusters, err := api.Clusters(ctx)
		if err != nil {
			return err
		}
		for _, c := range clusters {
			if c.Name == r.Name {
				id = c.ID
			}
		}
	}
	missing := fmt.Errorf("no cluster called %s is registered", r.Name)
	if id != "" {
		if missing = api.DeleteCluster(ctx, id); !propagator.IsNotFound(missing) {
			return missing
		}
	}
	user, err := api.Preflight(ctx)
	if err != nil || r.User != "" && r.User == user {
		return err
	}
	return fmt.Errorf("%w: it is gone, or of another user than CEDANA_AUTH_TOKEN, which is %s's (registered by %s): use the token that registered it",
		missing, user, cmp.Or(r.User, "nobody knows whom"))
}
