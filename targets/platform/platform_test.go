package platform

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// chosen is the platform of an environment, over one that says nothing.
func chosen(t *testing.T, env map[string]string) Platform {
	t.Helper()
	for _, name := range []string{"E2E_BACKEND", "CEDANA_AUTH_TOKEN", "CEDANA_URL", "E2E_CLUSTER", "E2E_AGENTS", "SKIP_HELM", "SUITE"} {
		t.Setenv(name, env[name])
	}
	t.Setenv("E2E_HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	t.Setenv("KUBECONFIG", file)
	t.Setenv("KUBECONTEXT", "eks")
	s, err := Load()
	require.NoError(t, err)
	return New(console.New(io.Discard, io.Discard), s)
}

func TestEachOfTheThreeIsChosenApart(t *testing.T) {
	env := map[string]string{"CEDANA_AUTH_TOKEN": "canary"}
	p := chosen(t, nil)
	require.IsType(t, &k3d{}, p.Clusters)
	require.IsType(t, &standIn{}, p.Propagator)
	require.IsType(t, &helm{}, p.Cedana)
	require.True(t, p.Clusters.(*k3d).standIn, "the nodes have the stand-in's image")

	p = chosen(t, env)
	require.IsType(t, &live{}, p.Propagator)
	require.False(t, p.Clusters.(*k3d).standIn)
	_, breakable := p.Propagator.(Breakable)
	require.False(t, breakable, "Cedana itself is not broken on purpose")

	env["E2E_CLUSTER"] = "existing"
	require.IsType(t, &existing{}, chosen(t, env).Clusters)
	env["SKIP_HELM"] = "1"
	require.IsType(t, &installed{}, chosen(t, env).Cedana)
	require.IsType(t, &standIn{}, chosen(t, map[string]string{"SKIP_HELM": "1"}).Propagator)
}

// A directory on one node is of no use to a restore on another.
func TestALiveClusterOfSeveralNodesHasValuesOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"one node":        {map[string]string{"CEDANA_AUTH_TOKEN": "canary", "E2E_AGENTS": "0"}, []string{"live.yaml"}},
		"two nodes":       {map[string]string{"CEDANA_AUTH_TOKEN": "canary", "E2E_AGENTS": "1"}, []string{"live.yaml", "nodes.yaml"}},
		"nobody knows":    {map[string]string{"CEDANA_AUTH_TOKEN": "canary", "E2E_CLUSTER": "existing"}, []string{"live.yaml", "nodes.yaml"}},
		"of this project": {map[string]string{"E2E_AGENTS": "1"}, []string{"local.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			planned, err := chosen(t, c.env).Propagator.Planned()
			require.NoError(t, err)
			require.Equal(t, c.want, planned.Layers)
		})
	}
}

// Neither a release nor the nodes of a cluster that was there before are ours.
func TestAnExistingClusterIsNotOurs(t *testing.T) {
	c, err := chosen(t, map[string]string{"CEDANA_AUTH_TOKEN": "canary", "E2E_CLUSTER": "existing"}).Clusters.Find(t.Context())
	require.NoError(t, err)
	require.Empty(t, c.Name)
	require.True(t, c.target().OursOnly)
	require.False(t, (&Cluster{Name: "cedana-e2e"}).target().OursOnly)
}

func TestARunOnTheStandInSaysNothingAboutCedana(t *testing.T) {
	to, err := (&standIn{}).connection(&backend.Propagator{URL: "http://127.0.0.1:1", Token: settings.Secret("canary")})
	require.NoError(t, err)
	require.True(t, to.Subject.Ours)
	require.Contains(t, to.Subject.Meaning, "it says nothing about Cedana itself")
}

func TestWhereNoPropagatorIsFoundItIsSaidWhatToDo(t *testing.T) {
	_, err := chosen(t, nil).Propagator.Find(t.Context())
	require.ErrorIs(t, err, ErrNoPropagator)
	require.ErrorContains(t, err, "go tool mage deploy")
	_, err = chosen(t, map[string]string{"CEDANA_AUTH_TOKEN": "canary", "E2E_CLUSTER": "existing", "SKIP_HELM": "1"}).Propagator.Find(t.Context())
	require.ErrorIs(t, err, ErrNoPropagator)
	require.ErrorContains(t, err, "CEDANA_URL")
}

func TestALivePropagatorThatIsNotKnownYetIsNotGreeted(t *testing.T) {
	to, err := chosen(t, map[string]string{"E2E_BACKEND": "live", "SKIP_HELM": "1"}).Propagator.Preflight(t.Context())
	require.NoError(t, err)
	require.Nil(t, to)
}

// A token is somebody's at one propagator, and no other is shown it.
func TestTheTokenOfAnInstallationGoesToItsOwnPropagatorAlone(t *testing.T) {
	t.Parallel()
	found := deploy.Installation{URL: "https://its.example/v1", Token: "its"}
	for name, c := range map[string]struct {
		url   string
		token settings.Secret
		found deploy.Installation
		want  string
		sent  settings.Secret
		fails string
	}{
		"neither is given":                   {found: found, want: "https://its.example", sent: "its"},
		"the same address":                   {url: "https://its.example", found: found, want: "https://its.example", sent: "its"},
		"another address":                    {url: "https://other.example", found: found, fails: "token of another, https://its.example"},
		"another address and its token":      {url: "https://other.example", token: "mine", found: found, want: "https://other.example", sent: "mine"},
		"a token for a plain address":        {token: "mine", found: deploy.Installation{URL: "http://its.example", Token: "its"}, fails: "unencrypted"},
		"its own token, in plain, as it was": {found: deploy.Installation{URL: "http://its.example", Token: "its"}, want: "http://its.example", sent: "its"},
	} {
		l := &live{settings: &settings.Deploy{Propagator: settings.Propagator{URL: c.url, Token: c.token}}}
		url, token, err := l.whose(c.found)
		if c.fails != "" {
			require.ErrorContains(t, err, c.fails, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, url, name)
		require.Equal(t, c.sent, token, name)
	}
}
