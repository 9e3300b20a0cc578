package listing

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// listed runs Checkpoints against a server that answers with body.
func listed(t *testing.T, s *settings.Listing, status int, body string) (data, progress string, err error) {
	t.Helper()
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	var p, d bytes.Buffer
	err = Checkpoints(t.Context(), console.New(&p, &d), client, s)
	return d.String(), p.String(), err
}

// serve is a client of a server that answers as said.
func serve(t *testing.T, answer http.HandlerFunc) *propagator.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := propagator.New(server.URL, "token")
	require.NoError(t, err)
	return client
}

const two = `[
 {"id":"11111111-0000-4000-8000-000000000000","status":"ready","gpu":"","platform":"linux/amd64","name":"older","delta":true,
  "info":{"size":629146,"cluster_id":"c1","pod_name":"nginx","namespace":"e2e","created_at":"2026-08-01T10:00:00Z"}},
 {"id":"22222222-0000-4000-8000-000000000000","status":"deprecated","gpu":"","platform":"linux/amd64",
  "info":{"size":70000000,"cluster_id":"c2","pod_name":"counter","namespace":"e2e","created_at":"2026-08-01T12:00:00+02:00"}},
 {"id":"33333333-0000-4000-8000-000000000000","status":"initializing","gpu":"","platform":"","info":null}
]`

func TestTheTableHasWhatTheServerGivesAndNothingElse(t *testing.T) {
	t.Parallel()
	data, progress, err := listed(t, &settings.Listing{Format: "table"}, http.StatusOK, two)
	require.NoError(t, err)
	require.Equal(t, `ID                                    NAME   STATUS        PLATFORM     SIZE      CLUSTER  POD          CREATED
11111111-0000-4000-8000-000000000000  older  ready         linux/amd64  614.4KiB  c1       e2e/nginx    2026-08-01T10:00:00Z
22222222-0000-4000-8000-000000000000         deprecated    linux/amd64  66.76MiB  c2       e2e/counter  2026-08-01T10:00:00Z
33333333-0000-4000-8000-000000000000         initializing
`, data)
	require.Empty(t, progress)
}

func TestJSONIsWhatTheServerSent(t *testing.T) {
	t.Parallel()
	data, _, err := listed(t, &settings.Listing{Format: "json"}, http.StatusOK, two)
	require.NoError(t, err)
	require.JSONEq(t, two, data, "fields that the client does not know are kept")
}

func TestAClusterSeesItsOwnEvenIfTheServerIgnoresTheFilter(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json"} {
		data, progress, err := listed(t, &settings.Listing{Format: format, ClusterID: "c1"}, http.StatusOK, two)
		require.NoError(t, err)
		require.Contains(t, data, "11111111")
		require.NotContains(t, data, "22222222")
		require.Contains(t, data, "33333333", "whose it is is not known")
		if format == "table" {
			require.Contains(t, progress, "1 of these may be of another cluster than c1")
		}
	}
}

func TestAnEmptyListSaysSo(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"[]", "null"} {
		data, progress, err := listed(t, &settings.Listing{Format: "table", ClusterID: "c9"}, http.StatusOK, body)
		require.NoError(t, err)
		require.Empty(t, data)
		require.Contains(t, progress, "there are no checkpoints of cluster c9")

		data, progress, err = listed(t, &settings.Listing{Format: "json"}, http.StatusOK, body)
		require.NoError(t, err)
		require.Equal(t, "[]\n", data)
		require.Contains(t, progress, "there are no checkpoints\n")
	}
}

func TestAnswersThatAreNoList(t *testing.T) {
	t.Parallel()
	_, _, err := listed(t, &settings.Listing{Format: "table"}, http.StatusUnauthorized, `{"message":"invalid key"}`)
	require.ErrorContains(t, err, "list checkpoints")
	require.ErrorContains(t, err, "invalid key")
	_, _, err = listed(t, &settings.Listing{Format: "table"}, http.StatusOK, `[{"id":7}]`)
	require.ErrorContains(t, err, "read checkpoint 1 of the list")
}

func TestAServersTextCannotBreakTheTable(t *testing.T) {
	t.Parallel()
	data, _, err := listed(t, &settings.Listing{Format: "table"}, http.StatusOK,
		`[{"id":"1","status":"ready","gpu":"","platform":"","name":"a\nb\u001b[31m\tc","info":{}}]`)
	require.NoError(t, err)
	require.Equal(t, "ID  NAME        STATUS\n1   a b [31m c  ready\n", data)
}

const threeActions = `[
 {"action_id":"a1","type":"checkpoint_pod","status":"ready","checkpoint_id":"k1","cluster_id":"c1","details":{"pod_name":"nginx","namespace":"e2e"},
  "total_duration":1234567890,"action_timestamp":"2026-08-01T10:00:00Z","unheard_of":1},
 {"action_id":"a2","type":"restore_pod","status":"error","cluster_id":"c1","details":{"error":"criu failed: -52"},"action_timestamp":"2026-08-01T12:00:00+01:00"},
 {"action_id":"a3","type":"checkpoint_pod","status":"error","cluster_id":"c2","details":"text","action_timestamp":null}
]`

func TestActionsHaveWhoWhatAndWhy(t *testing.T) {
	t.Parallel()
	var p, d bytes.Buffer
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(threeActions)) })
	require.NoError(t, Actions(t.Context(), console.New(&p, &d), client, &settings.Listing{Format: "table"}))
	require.Equal(t, `ID  TYPE            STATUS  CHECKPOINT  CLUSTER  POD        TOOK    STARTED               ERROR
a2  restore_pod     error               c1                          2026-08-01T11:00:00Z  criu failed: -52
a1  checkpoint_pod  ready   k1          c1       e2e/nginx  1.235s  2026-08-01T10:00:00Z
a3  checkpoint_pod  error               c2
`, d.String())
}

func TestActionsAreNarrowedByTheServerAndOnceMoreHere(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		settings settings.Listing
		query    string
		left     []string
	}{
		"by nothing": {settings.Listing{}, "", []string{"a1", "a2", "a3"}},
		"by type":    {settings.Listing{Type: "checkpoint_pod"}, "type=checkpoint_pod", []string{"a1", "a3"}},
		"by status":  {settings.Listing{Status: "error"}, "status=error", []string{"a2", "a3"}},
		"by cluster": {settings.Listing{ClusterID: "c1"}, "cluster_id=c1", []string{"a1", "a2"}},
		"by all":     {settings.Listing{Type: "restore_pod", Status: "error", ClusterID: "c1"}, "cluster_id=c1&status=error&type=restore_pod", []string{"a2"}},
		"to nothing": {settings.Listing{Type: "heartbeat"}, "type=heartbeat", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var query string
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				query = r.URL.RawQuery
				_, _ = w.Write([]byte(threeActions))
			})
			var p, d bytes.Buffer
			s := want.settings
			s.Format = "json"
			require.NoError(t, Actions(t.Context(), console.New(&p, &d), client, &s))
			require.Equal(t, want.query, query)
			var rows []map[string]any
			require.NoError(t, json.Unmarshal(d.Bytes(), &rows))
			ids := []string{}
			for _, row := range rows {
				ids = append(ids, row["action_id"].(string))
				if row["action_id"] == "a1" {
					require.Contains(t, row, "unheard_of", "fields that the client does not know are kept")
				}
			}
			require.Equal(t, want.left, ids)
		})
	}
}

func TestAnEmptyListSaysWhatItWasNarrowedTo(t *testing.T) {
	t.Parallel()
	var p, d bytes.Buffer
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) })
	s := &settings.Listing{Format: "table", Type: "restore_pod", Status: "error", ClusterID: "c9"}
	require.NoError(t, Actions(t.Context(), console.New(&p, &d), client, s))
	require.Empty(t, d.String())
	require.Contains(t, p.String(), "there are no actions of type restore_pod of cluster c9 of status error")
}

func TestClustersAreInOrderOfTheirLastSync(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`[
 {"id":"c1","name":"never","status":"active","kind":"kubernetes","metadata":{}},
 {"id":"c2","name":"old","status":"gone","kind":"kubernetes","last_sync":"2026-07-01T10:00:00Z","metadata":{}},
 {"id":"c3","name":"new","status":"active","kind":"slurm","last_sync":"2026-08-01T10:00:00Z","metadata":{}}]`))
	})
	var p, d bytes.Buffer
	require.NoError(t, Clusters(t.Context(), console.New(&p, &d), client, &settings.Listing{Format: "table"}))
	require.Equal(t, `ID  NAME   STATUS  KIND        SYNCED
c3  new    active  slurm       2026-08-01T10:00:00Z
c2  old    gone    kubernetes  2026-07-01T10:00:00Z
c1  never  active  kubernetes
`, d.String())

	for _, narrow := range []*settings.Listing{{ClusterID: "c2"}, {Status: "gone"}} {
		d.Reset()
		narrow.Format = "table"
		require.NoError(t, Clusters(t.Context(), console.New(&p, &d), client, narrow))
		require.Equal(t, "ID  NAME  STATUS  KIND        SYNCED\nc2  old   gone    kubernetes  2026-07-01T10:00:00Z\n", d.String())
	}
}

func TestCheckpointsAreNarrowedByStatus(t *testing.T) {
	t.Parallel()
	data, _, err := listed(t, &settings.Listing{Format: "table", Status: "deprecated"}, http.StatusOK, two)
	require.NoError(t, err)
	require.Contains(t, data, "22222222")
	require.NotContains(t, data, "11111111")
	require.NotContains(t, data, "33333333")
}
