package platform

import (
	"context"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// installed is Cedana as it is in the cluster (SKIP_HELM=1). It is waited for, and nothing of it is changed.
type installed struct {
	con      *console.Console
	settings *settings.Deploy
}

func (i *installed) Check(context.Context, deploy.Options) (*deploy.Checked, error) { return nil, nil }

func (i *installed) Register(context.Context, *Connection) (*deploy.Identity, error) { return nil, nil }

func (i *installed) Hold(context.Context, *Cluster, func(error)) (func() error, error) {
	return func() error { return nil }, nil
}

func (i *installed) Install(ctx context.Context, c *Cluster, to *Connection, _ *deploy.Checked, _ *deploy.Identity) (*deploy.Identity, error) {
	o := c.target()
	o.Token = to.Token
	return deploy.UseInstalled(ctx, i.con, i.settings, o)
}

func (i *installed) Logs(*Cluster, settings.Secret) []suite.Source { return nil }
