package platform

import (
	"context"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// existing is a cluster that is not ours to make or to remove (E2E_CLUSTER=existing).
type existing struct {
	con      *console.Console
	settings *settings.Settings
}

// Make asks the cluster for its version. That a run was there is remembered before the run puts anything into it.
func (e *existing) Make(ctx context.Context, _ func()) (*Cluster, error) {
	s := e.settings
	err := e.con.Run(ctx, "find the cluster of context "+s.Existing.Context, func(ctx context.Context, step *console.Step) error {
		version, err := deploy.Reach(ctx, &s.Deploy, e.cluster().target())
		if err != nil {
			return err
		}
		step.Note("Kubernetes %s", version)
		if s.Existing.ImageCounter == "" {
			e.con.Warn("E2E_IMAGE_COUNTER is not set: tests that need that image are skipped")
		}
		return state.Update(s.ClusterDir(), func(st *state.State) {
			st.Cluster, st.RunID = s.ClusterName, s.RunID
			st.UsedExisting(s.Existing.Kubeconfig, s.Existing.Context, s.Deploy.CedanaNamespace, s.RunID)
		})
	})
	if err != nil {
		return nil, err
	}
	return e.cluster(), nil
}

func (e *existing) Find(context.Context) (*Cluster, error) { return e.cluster(), nil }

func (e *existing) cluster() *Cluster {
	given := e.settings.Existing
	return &Cluster{Kubeconfig: given.Kubeconfig, Context: given.Context, Nginx: given.ImageNginx, Counter: given.ImageCounter}
}

func (e *existing) Check(ctx context.Context) []Finding {
	f := Finding{Name: "cluster", Remedy: "check KUBECONFIG and KUBECONTEXT, or unset E2E_CLUSTER to have a cluster made"}
	version, err := deploy.Reach(ctx, &e.settings.Deploy, e.cluster().target())
	if err != nil {
		f.Detail = err.Error()
		return []Finding{f}
	}
	f.OK, f.Detail = true, "context "+e.settings.Existing.Context+" answers, Kubernetes "+version
	return []Finding{f}
}
