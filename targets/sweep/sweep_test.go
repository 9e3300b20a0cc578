package sweep

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

var now = time.Date(2026, 8, 2, 12, 0, 0, 0, time.UTC)

const clusters = `[
 {"id":"c-old","name":"cedana-e2e-1a2b0f0f","status":"active","last_sync":"2026-08-01T11:59:59Z","metadata":{}},
 {"id":"c-old-plain","name":"cedana-e2e","status":"active","last_sync":"2026-07-01T00:00:00Z","metadata":{}},
 {"id":"c-new","name":"cedana-e2e-3c4d0f0f","status":"active","last_sync":"2026-08-01T12:00:00Z","metadata":{}},
 {"id":"c-never-old","name":"cedana-e2e-1a2b0f0f-20260731","status":"active","metadata":{}},
 {"id":"c-never-new","name":"cedana-e2e-1a2b0f0f-20260801","status":"active","metadata":{}},
 {"id":"c-never","name":"cedana-e2e-5e6f0f0f","status":"active","metadata":{}},
 {"id":"c-old-too","name":"cedana-e2e-7a8b0f0f","status":"active","last_sync":"2026-07-01T00:00:00Z","metadata":{}},
 {"id":"c-staging","name":"cedana-e2e-staging","status":"active","last_sync":"2026-07-01T00:00:00Z","metadata":{}},
 {"id":"c-staging-run","name":"cedana-e2e-staging-1a2b0f0f","status":"active","last_sync":"2026-07-01T00:00:00Z","metadata":{}},
 {"id":"c-given","name":"cedana-e2e-9a9b0f0f","status":"active","last_sync":"2026-07-01T00:00:00Z","metadata":{}},
 {"id":"c-other","name":"production","status":"active","last_sync":"2026-07-01T00:00:00Z","metadata":{}},
 {"id":"c-alike","name":"cedana-e2extra","status":"active","last_sync":"2026-07-01T00:00:00Z","metadata":{}}
]`

const checkpoints = `[
 {"id":"k-old","status":"ready","gpu":"","platform":"","info":{"namespace":"cedana-e2e-nginx-1a2b0f0f","created_at":"2026-08-01T11:00:00Z"}},
 {"id":"k-action","status":"ready","gpu":"","platform":"","info":{"anything":1}},
 {"id":"k-new","status":"ready","gpu":"","platform":"","info":{"namespace":"cedana-e2e-nginx-3c4d0f0f","created_at":"2026-08-02T11:00:00Z"}},
 {"id":"k-gone","status":"deprecated","gpu":"","platform":"","info":{"namespace":"cedana-e2e-nginx-1a2b0f0f","created_at":"2026-07-01T00:00:00Z"}},
 {"id":"k-other","status":"ready","gpu":"","platform":"","info":{"namespace":"default","created_at":"2026-07-01T00:00:00Z"}},
 {"id":"k-staging","status":"ready","gpu":"","platform":"","info":{"namespace":"cedana-e2e-staging","created_at":"2026-07-01T00:00:00Z"}},
 {"id":"k-again","status":"ready","gpu":"","platform":"","info":{"namespace":"cedana-e2e-nginx-1a2b0f0f-2","created_at":"2026-07-01T00:00:00Z"}},
 {"id":"k-ageless","status":"ready","gpu":"","platform":"","info":{"namespace":"cedana-e2e-x-1a2b0f0f"}},
 {"id":"k-nothing","status":"ready","gpu":"","platform":"","info":null}
]`

const actions = `[
 {"action_id":"a1","type":"checkpoint_pod","status":"ready","checkpoint_id":"k-action","details":{"namespace":"cedana-e2e-counter-1a2b0f0f"},"action_timestamp":"2026-07-30T00:00:00Z"}
]`

// run sweeps a propagator that answers a removal as said, and returns the removals that it was asked for.
func run(t *testing.T, s *settings.Sweep, removal http.HandlerFunc) (removals []string, progress string, err error) {
	t.Helper()
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			mu.Lock()
			removals = append(removals, r.Method+" "+r.URL.Path)
			mu.Unlock()
			removal(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		for path, body := range map[string]string{"/user": `"u1"`, "/cluster": clusters, "/checkpoints": checkpoints, "/actions": actions} {
			if r.URL.Path == "/v2"+path {
				_, _ = io.WriteString(w, body)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	client, err := propagator.New(server.URL+"/v2", "token")
	require.NoError(t, err)
	s.ClusterName, s.Namespace, s.ClusterID = "cedana-e2e", "cedana-e2e", "c-given"
	var p bytes.Buffer
	err = Run(t.Context(), console.New(&p, &bytes.Buffer{}), client, s, now)
	slices.Sort(removals)
	return removals, p.String(), err
}

func done(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Success") }

func TestWhatIsOursAndOlderThanADayIsRemoved(t *testing.T) {
	t.Parallel()
	removals, progress, err := run(t, &settings.Sweep{}, done)
	require.NoError(t, err)
	require.Equal(t, []string{
		"DELETE /v2/cluster/c-never-old", "DELETE /v2/cluster/c-old", "DELETE /v2/cluster/c-old-too",
		"PATCH /v2/checkpoints/deprecate/k-action", "PATCH /v2/checkpoints/deprecate/k-again", "PATCH /v2/checkpoints/deprecate/k-old",
	}, removals)
	require.Contains(t, progress, "removed cluster cedana-e2e-1a2b0f0f (c-old), last synced 2026-08-01T11:59:59Z")
	require.Contains(t, progress, "removed checkpoint k-action of a pod in cedana-e2e-counter-1a2b0f0f, made 2026-07-30T00:00:00Z")
	require.Contains(t, progress, "removed cluster cedana-e2e-1a2b0f0f-20260731 (c-never-old), never synced, registered before 2026-08-01T00:00:00Z")
	require.Contains(t, progress, "cluster cedana-e2e-5e6f0f0f (c-never) has never synced, so its age is not known: it stays")
	require.Contains(t, progress, "removed 3 checkpoints and 3 clusters")
}

func TestADryRunOnlySaysWhatItWouldRemove(t *testing.T) {
	t.Parallel()
	removals, progress, err := run(t, &settings.Sweep{DryRun: true}, done)
	require.NoError(t, err)
	require.Empty(t, removals)
	require.Contains(t, progress, "would remove cluster cedana-e2e-1a2b0f0f (c-old)")
	require.Contains(t, progress, "would remove 3 checkpoints and 3 clusters")
}

func TestOneThatCannotBeRemovedDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	removals, progress, err := run(t, &settings.Sweep{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/cluster/c-old":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"not allowed"}`)
		case "/v2/cluster/c-old-too":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"message":"Cluster not found"}`)
		default:
			done(w, r)
		}
	})
	require.ErrorContains(t, err, "remove cluster cedana-e2e-1a2b0f0f (c-old)")
	require.ErrorContains(t, err, "not allowed")
	require.NotContains(t, err.Error(), "c-old-too", "one that is gone already is no failure")
	require.Len(t, removals, 6)
	require.Contains(t, progress, "removed 3 checkpoints and 2 clusters")
}
