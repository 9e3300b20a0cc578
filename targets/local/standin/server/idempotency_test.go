package server

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
)

func TestAKeyMeansOneAction(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.pod("c", "uid")
	ask := func(key string) string {
		code, _, id, err := r.try(t.Context(), "POST", "/v2/checkpoint/pod", canary, map[string]string{"pod_id": "uid"},
			http.Header{propagator.HeaderIdempotencyKey: {key}})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, code, id)
		return id
	}
	first := ask("one")
	require.Equal(t, first, ask("one"))
	require.NotEqual(t, first, ask("two"))
	none := ask("")
	require.NotEqual(t, none, ask(""), "no key is none")
	rows, err := r.client.Actions(t.Context(), propagator.ActionFilter{})
	require.NoError(t, err)
	require.Len(t, rows, 4)
}

// losing hands requests on and loses the first answer to a POST.
type losing struct {
	http.RoundTripper
	lost atomic.Bool
}

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost || l.lost.Swap(true) {
		return answer, err
	}
	return nil, errors.Join(errors.New("connection reset by peer"), answer.Body.Close())
}

// Two clients ask for a checkpoint of one pod, and one of them loses its answer.
func TestACallWhoseAnswerIsLostDoesNotTakeAnothersAction(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.pod("c", "uid")
	request := propagator.CheckpointPodRequest{PodID: "uid"}
	other := ""
	through := &losing{RoundTripper: r.transport}
	c, err := propagator.New(propagatortest.Address, canary, propagator.WithTransport(roundTripper(func(q *http.Request) (*http.Response, error) {
		answer, err := through.RoundTrip(q)
		if err != nil && other == "" {
			// In the moment in which the answer is lost.
			other, err = r.client.CheckpointPod(q.Context(), request)
			require.NoError(t, err)
			return nil, errors.New("connection reset by peer")
		}
		return answer, err
	})))
	require.NoError(t, err)
	id, err := c.CheckpointPod(t.Context(), request)
	require.NoError(t, err)
	require.NotEqual(t, other, id)
	rows, err := r.client.Actions(t.Context(), propagator.ActionFilter{})
	require.NoError(t, err)
	require.Len(t, rows, 2, "no third checkpoint")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
