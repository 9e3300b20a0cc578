package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// registrar is a propagator that keeps clusters in memory.
type registrar struct {
	clusters []propagator.Cluster
	err      error
	// refuses is what it says to a registration, and listErr to a list.
	refuses, listErr error
	created          int
}

func (r *registrar) CreateCluster(_ context.Context, name string) (string, error) {
	if r.refuses != nil {
		return "", r.refuses
	}
	r.created++
	r.clusters = append(r.clusters, propagator.Cluster{ID: "new", Name: name})
	return "new", r.err
}

func (r *registrar) Clusters(context.Context) ([]propagator.Cluster, error) {
	return r.clusters, cmp.Or(r.listErr, r.err)
}

func TestAGivenClusterIDIsUsedAndNeverOurs(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.ClusterID = "theirs"
	p := &registrar{}
	id, made, err := register(t.Context(), &console.Step{}, s, Options{Propagator: p, ClusterID: "remembered"})
	require.NoError(t, err)
	require.Equal(t, "theirs", id)
	require.False(t, made)
	require.Zero(t, p.created)
}

func TestARegisteredClusterIsRememberedBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	p := &registrar{}
	var remembered []string
	id, made, err := register(t.Context(), &console.Step{}, testSettings(t), Options{
		Propagator: p, Registered: func(id, name string) error {
			remembered = append(remembered, fmt.Sprintf("%s %s, %d registered", id, name, p.created))
			return nil
		},
	})
	require.NoError(t, err)
	require.Equal(t, "new", id)
	require.True(t, made)
	name := "unit-1a2b3c4d-" + time.Now().UTC().Format("20060102")
	require.Equal(t, []string{" " + name + ", 0 registered", "new " + name + ", 1 registered"}, remembered)
	require.Equal(t, name, p.clusters[0].Name, "two people with the same CLUSTER_NAME have two clusters")

	_, made, err = register(t.Context(), &console.Step{}, testSettings(t), Options{
		Propagator: p, Registered: func(string, string) error { return errors.New("disk full") },
	})
	require.ErrorContains(t, err, "remember registered cluster "+name+": disk full")
	require.False(t, made)
	require.Equal(t, 1, p.created)
}

func TestARunThatWasKilledAtTheRegistrationHasItsClusterTakenUpOrForgotten(t *testing.T) {
	t.Parallel()
	p := &registrar{}
	opts := Options{Propagator: p, Registering: "unit-5e6f7a8b-20260101"}
	_, _, err := register(t.Context(), &console.Step{}, testSettings(t), opts)
	require.NoError(t, err)
	require.Equal(t, opts.Registering, p.clusters[0].Name)

	refused := ""
	p.refuses, opts.Refused = refusal(http.StatusForbidden), func(_, name string) error { refused = name; return nil }
	_, _, err = register(t.Context(), &console.Step{}, testSettings(t), opts)
	require.Error(t, err)
	require.Equal(t, opts.Registering, refused)
}

func TestAnEarlierRunsClusterIsUsedAgainWhileThePropagatorHasIt(t *testing.T) {
	t.Parallel()
	p := &registrar{clusters: []propagator.Cluster{{ID: "old"}}}
	id, made, err := register(t.Context(), &console.Step{}, testSettings(t), Options{Propagator: p, ClusterID: "old"})
	require.NoError(t, err)
	require.Equal(t, "old", id)
	require.True(t, made)
	require.Zero(t, p.created)

	id, _, err = register(t.Context(), &console.Step{}, testSettings(t), Options{Propagator: p, ClusterID: "forgotten"})
	require.NoError(t, err)
	require.Equal(t, "new", id)
}

func TestAFailedRegistrationNamesTheCluster(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	_, _, err := register(t.Context(), &console.Step{}, testSettings(t), Options{Propagator: &registrar{err: refused}})
	require.ErrorIs(t, err, refused)
	require.ErrorContains(t, err, "register cluster unit-1a2b3c4d")
	_, _, err = register(t.Context(), &console.Step{}, testSettings(t), Options{})
	require.ErrorContains(t, err, "no propagator is given, and no CLUSTER_ID")
}

func TestAChosenClusterIsTheNamedOneElseTheLastSynchronisedAndNeverOurs(t *testing.T) {
	t.Parallel()
	at := func(minute int) *time.Time {
		when := time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
		return &when
	}
	p := &registrar{clusters: []propagator.Cluster{
		{ID: "silent", Name: "other"}, {ID: "older", Name: "unit", LastSync: at(1)}, {ID: "newer", Name: "unit", LastSync: at(2)},
		{ID: "newest", Name: "other", LastSync: at(3)},
	}}
	s := testSettings(t)
	s.ChooseCluster = true
	id, made, err := register(t.Context(), &console.Step{}, s, Options{Propagator: p, ClusterID: "remembered"})
	require.NoError(t, err)
	require.Equal(t, "newer", id)
	require.False(t, made)

	s.ClusterName = "elsewhere"
	id, _, err = register(t.Context(), &console.Step{}, s, Options{Propagator: p})
	require.NoError(t, err)
	require.Equal(t, "newest", id)

	s.ClusterChosen = true
	_, _, err = register(t.Context(), &console.Step{}, s, Options{Propagator: p})
	require.ErrorContains(t, err, "none is called elsewhere; there are other, unit, unit, other")
	_, _, err = register(t.Context(), &console.Step{}, s, Options{Propagator: &registrar{}})
	require.ErrorContains(t, err, "there is none")
	require.Zero(t, p.created)
}

func refusal(code int) error {
	return &propagator.APIError{Method: http.MethodPost, Path: "/v2/cluster", StatusCode: code}
}

func TestWhereRegisteringIsRefusedTheNamedClusterIsUsedAndNoOther(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	for _, code := range []int{http.StatusForbidden, http.StatusUnauthorized} {
		p := &registrar{refuses: refusal(code), clusters: []propagator.Cluster{{ID: "theirs", Name: "production"}, {ID: "ours", Name: "unit"}}}
		id, made, err := register(t.Context(), &console.Step{}, s, Options{Propagator: p})
		require.NoError(t, err)
		require.Equal(t, "ours", id)
		require.False(t, made, "it is never deregistered")

		p.clusters = p.clusters[:1]
		_, _, err = register(t.Context(), &console.Step{}, s, Options{Propagator: p})
		var none *NoClusterError
		require.ErrorAs(t, err, &none)
		require.Equal(t, []string{"production"}, none.Others, "a cluster of another name may be somebody's own")
		require.ErrorContains(t, err, "no cluster and no right to register one")
		require.ErrorContains(t, err, "register cluster unit-1a2b3c4d")
		require.ErrorContains(t, err, "CLUSTER_ID")
	}
	// Nothing at all may be seen: the same.
	p := &registrar{refuses: refusal(http.StatusForbidden), listErr: refusal(http.StatusForbidden)}
	_, _, err := register(t.Context(), &console.Step{}, s, Options{Propagator: p})
	require.ErrorAs(t, err, new(*NoClusterError))
}

func TestABadTokenAFailingServerAndAProxyAreNoMissingRight(t *testing.T) {
	t.Parallel()
	page := &propagator.APIError{StatusCode: http.StatusForbidden, HTML: true}
	for name, p := range map[string]*registrar{
		"bad token":      {refuses: refusal(http.StatusUnauthorized), listErr: refusal(http.StatusUnauthorized)},
		"failing server": {refuses: refusal(http.StatusForbidden), listErr: refusal(http.StatusBadGateway)},
		"down":           {refuses: refusal(http.StatusBadGateway)},
		"proxy's page":   {refuses: page},
	} {
		_, _, err := register(t.Context(), &console.Step{}, testSettings(t), Options{Propagator: p})
		require.Error(t, err, name)
		require.NotErrorAs(t, err, new(*NoClusterError), name)
	}
}

func TestARefusedRegistrationSaysNoSecret(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.Token = "canary-token"
	p := &registrar{refuses: fmt.Errorf("the server echoes canary-token: %w", refusal(http.StatusForbidden))}
	_, err := Register(t.Context(), console.New(io.Discard, io.Discard), s, Options{Propagator: p})
	var none *NoClusterError
	require.ErrorAs(t, err, &none)
	require.NotContains(t, err.Error(), "canary-token")
}
