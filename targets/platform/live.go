package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// live is a propagator of Cedana's.
type live struct {
	con      *console.Console
	settings *settings.Deploy
	client   []propagator.Option
	// layers are the files of charts-values for it.
	layers []string
}

// Preflight does nothing where Cedana in the cluster is what knows the address or the token (SKIP_HELM=1).
func (l *live) Preflight(ctx context.Context) (*Connection, error) {
	if l.settings.URL == "" || !l.settings.Token.Set() {
		return nil, nil
	}
	return l.preflight(ctx, l.settings.URL, l.settings.Token)
}

// preflight asks the propagator who we are.
func (l *live) preflight(ctx context.Context, url string, token settings.Secret) (*Connection, error) {
	var c *Connection
	err := l.con.Run(ctx, "check the propagator at "+url, func(ctx context.Context, step *console.Step) error {
		api, err := propagator.New(url, token, l.client...)
		if err != nil {
			return err
		}
		user, err := api.Preflight(ctx)
		if err != nil {
			return err
		}
		step.Note("user %s", user)
		c = &Connection{API: api, URL: api.BaseURL(), Token: token, User: user, chart: deploy.Options{Token: token, Layers: l.layers}, Subject: suite.Subject{
			Meaning: fmt.Sprintf("Live backend: Cedana at %s made and restored these checkpoints.", api.BaseURL()),
		}}
		return nil
	})
	return c, err
}

// Connect takes the propagator that answered the preflight. Where there is none, what the environment does not say of it is what
// Cedana was installed with.
func (l *live) Connect(ctx context.Context, c *Cluster, early *Connection) (*Connection, error) {
	if early != nil {
		return early, nil
	}
	found, err := deploy.FindInstalled(ctx, l.settings, c.target())
	if err != nil {
		return nil, err
	}
	url, token, err := l.whose(found)
	if err != nil {
		return nil, err
	}
	return l.preflight(ctx, url, token)
}

// whose puts an address and a token together that belong to each other: the installation's token goes to its own
// propagator alone, and ours goes nowhere in the clear.
func (l *live) whose(found deploy.Installation) (url string, token settings.Secret, err error) {
	its, err := settings.NormalizeURL(found.URL)
	if err != nil {
		return "", "", fmt.Errorf("read the propagator's address of the Cedana that is installed: %w", err)
	}
	url, token = cmp.Or(l.settings.URL, its), cmp.Or(l.settings.Token, found.Token)
	switch {
	case !l.settings.Token.Set() && url != its:
		return "", "", fmt.Errorf("ask the propagator at %s: Cedana is installed with the token of another, %s: set CEDANA_AUTH_TOKEN too, or unset CEDANA_URL", url, its)
	case l.settings.Token.Set():
		err = settings.CheckPlain(url)
	}
	return url, token, err
}

func (l *live) Find(context.Context) (*Connection, error) {
	if l.settings.URL == "" || !l.settings.Token.Set() {
		return nil, fmt.Errorf("find the live propagator: %w: set CEDANA_URL and CEDANA_AUTH_TOKEN", ErrNoPropagator)
	}
	api, err := propagator.New(l.settings.URL, l.settings.Token, l.client...)
	if err != nil {
		return nil, err
	}
	return &Connection{API: api, URL: api.BaseURL(), Token: l.settings.Token}, nil
}

// Planned has the cluster's id where an earlier run has registered it.
func (l *live) Planned() (deploy.Options, error) {
	r, err := registered(l.settings, l.settings.URL)
	return deploy.Options{ClusterID: cmp.Or(r.ID, inTheRun), Layers: l.layers}, err
}

func (l *live) Check(ctx context.Context) []Finding {
	if l.settings.URL == "" || !l.settings.Token.Set() {
		return nil
	}
	f := Finding{Name: "propagator", Remedy: "check CEDANA_URL and CEDANA_AUTH_TOKEN"}
	api, err := propagator.New(l.settings.URL, l.settings.Token, l.client...)
	if err == nil {
		var user string
		if user, err = api.Preflight(ctx); err == nil {
			f.OK, f.Detail = true, fmt.Sprintf("%s knows this token as user %s", l.settings.URL, user)
			return []Finding{f}
		}
	}
	f.Detail = err.Error()
	return []Finding{f}
}

// registered is how an earlier run has registered the cluster at a propagator, empty if none has.
func registered(s *settings.Deploy, url string) (state.Registration, error) {
	st, err := state.Load(s.ClusterDir())
	if errors.Is(err, fs.ErrNotExist) {
		return state.Registration{}, nil
	}
	if err != nil {
		return state.Registration{}, fmt.Errorf("look for a registered cluster: %w", err)
	}
	return st.RegisteredAt(url), nil
}
