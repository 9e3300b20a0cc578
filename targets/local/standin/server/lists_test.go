package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

const many = 10_000

// fill puts actions and their checkpoints into a server's store, as some years of runs would.
func fill(tb testing.TB, s *Server, n int) {
	tb.Helper()
	begin := time.Now().Add(-24 * time.Hour)
	require.NoError(tb, s.store.Update(func(tx *store.Tx) error {
		for i := range n {
			a := store.Action{
				ID: uuid.NewString(), CheckpointID: uuid.NewString(), Type: propagator.ActionCheckpointPod, Status: propagator.StatusReady,
				ClusterID: unknown, PodUID: fmt.Sprint("uid-", i), PodName: "app", Namespace: "ns", Created: begin.Add(time.Duration(i) * time.Second),
				NodeName: node, Reason: "manual", Platform: "linux/amd64", Ended: &begin,
			}
			row := newRow(a.CheckpointID, a.Created)
			row.ActionID, row.ClusterID, row.Status = a.ID, a.ClusterID, propagator.CheckpointReady
			if err := tx.Actions.Put(a.ID, a); err != nil {
				return err
			}
			if err := tx.Checkpoints.Put(row.ID, row); err != nil {
				return err
			}
		}
		return nil
	}))
}

func get(tb testing.TB, s *Server, path string) int {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Header.Set("Authorization", "Bearer "+canary)
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, request)
	require.Equal(tb, http.StatusOK, answer.Code)
	return answer.Body.Len()
}

// What has not changed since the last answer is neither read nor rendered again: a list takes less than one allocation an
// item, whichever version is asked for, and a change costs what has changed.
func TestALongListCostsNoMoreThanWhatIsNew(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir(), Token: canary, Tick: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	fill(t, s, many)
	for _, path := range []string{"/v1/actions", "/v2/actions", "/v1/checkpoints", "/v2/checkpoints", "/v1/restores", "/v2/actions/from_pod/uid-77", "/v2/checkpoint/path"} {
		get(t, s, path)
		fill(t, s, 1)
		allocations := testing.AllocsPerRun(1, func() { get(t, s, path) })
		require.Less(t, allocations, float64(many/2), path)
	}
}

func BenchmarkListsOfTenThousandActions(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), Token: canary})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	fill(b, s, many)
	for _, path := range []string{"/v2/actions", "/v1/actions", "/v2/checkpoints", "/v2/actions?type=restore_pod", "/v1/restores?limit=1", "/v2/actions/from_pod/uid-77", "/v2/checkpoint/path"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				get(b, s, path)
			}
		})
	}
}
