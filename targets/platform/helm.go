package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// helm installs Cedana's chart, or the stand-in's.
type helm struct {
	con      *console.Console
	settings *settings.Deploy
}

func (h *helm) Check(ctx context.Context, planned deploy.Options) (*deploy.Checked, error) {
	return deploy.Check(ctx, h.con, h.settings, planned)
}

// Register does nothing where the propagator comes after the cluster: Install registers it then.
func (h *helm) Register(ctx context.Context, early *Connection) (*deploy.Identity, error) {
	if early == nil {
		return nil, nil
	}
	o, err := h.options(early)
	if err != nil {
		return nil, err
	}
	identity, err := deploy.Register(ctx, h.con, h.settings, o)
	if err != nil {
		return nil, err
	}
	return &identity, nil
}

// Hold has nothing to do in a cluster of ours: its owner's runs wait for each other on this machine.
func (h *helm) Hold(ctx context.Context, c *Cluster, lost func(error)) (func() error, error) {
	if c.Name != "" {
		return func() error { return nil }, nil
	}
	st, err := state.Load(h.settings.ClusterDir())
	if err != nil {
		return nil, err
	}
	var ended []string // since this run has the cluster's lock
	for _, there := range st.Existing {
		ended = append(ended, there.Runs...)
	}
	return deploy.Hold(ctx, h.con, h.settings, c.target(), ended, lost)
}

func (h *helm) Install(ctx context.Context, c *Cluster, to *Connection, checked *deploy.Checked, identity *deploy.Identity) (*deploy.Identity, error) {
	o, err := h.options(to)
	if err != nil {
		return nil, err
	}
	target := c.target()
	o.Kubeconfig, o.Context, o.OursOnly, o.Checked, o.Identity = target.Kubeconfig, target.Context, target.OursOnly, checked, identity
	result, err := deploy.Run(ctx, h.con, h.settings, o)
	if err != nil {
		return nil, err
	}
	return &result.Identity, nil
}

// options are what the chart is told of the propagator, and what registers the cluster there: the id that an earlier run
// has registered, and where to remember a new one.
func (h *helm) options(to *Connection) (deploy.Options, error) {
	s, o := h.settings, to.chart
	earlier, err := registered(s, to.URL)
	if err != nil {
		return o, err
	}
	if o.ClusterID = earlier.ID; earlier.ID == "" && earlier.User == to.User {
		o.Registering = earlier.Name
	}
	o.Propagator = to.API
	remember := func(change func(*state.State, state.Registration)) func(id, name string) error {
		return func(id, name string) error {
			return state.Update(s.ClusterDir(), func(st *state.State) {
				st.Cluster, st.RunID = s.ClusterName, s.RunID
				change(st, state.Registration{URL: to.URL, ID: id, Name: name, User: to.User})
			})
		}
	}
	o.Registered, o.Refused = remember((*state.State).Register), remember((*state.State).Unregister)
	return o, nil
}

func (h *helm) Logs(c *Cluster, token settings.Secret) []suite.Source {
	return []suite.Source{{Name: "the Helm release", Collect: func(ctx context.Context, dir string) (err error) {
		file, err := os.Create(filepath.Join(dir, "helm.txt"))
		if err != nil {
			return fmt.Errorf("write the release's description: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		o := c.target()
		o.Token = token
		return deploy.Describe(ctx, h.settings, o, file)
	}}}
}
