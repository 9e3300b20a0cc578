package checkpoints

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// list runs List against a server that answers with body.
func list(t *testing.T, s *settings.Settings, status int, body string) (data, progress string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	client, err := propagator.New(server.URL, "token")
	require.NoError(t, err)
	var p, d bytes.Buffer
	err = List(t.Context(), console.New(&p, &d), client, s)
	return d.String(), p.String(), err
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
	data, progress, err := list(t, &settings.Settings{Format: "table"}, http.StatusOK, two)
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
	data, _, err := list(t, &settings.Settings{Format: "json"}, http.StatusOK, two)
	require.NoError(t, err)
	require.JSONEq(t, two, data, "fields that the client does not know are kept")
}

func TestAClusterSeesItsOwnEvenIfTheServerIgnoresTheFilter(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json"} {
		data, progress, err := list(t, &settings.Settings{Format: format, ClusterID: "c1"}, http.StatusOK, two)
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
		data, progress, err := list(t, &settings.Settings{Format: "table", ClusterID: "c9"}, http.StatusOK, body)
		require.NoError(t, err)
		require.Empty(t, data)
		require.Contains(t, progress, "there are no checkpoints of cluster c9")

		data, progress, err = list(t, &settings.Settings{Format: "json"}, http.StatusOK, body)
		require.NoError(t, err)
		require.Equal(t, "[]\n", data)
		require.Contains(t, progress, "there are no checkpoints\n")
	}
}

func TestAnswersThatAreNoList(t *testing.T) {
	t.Parallel()
	_, _, err := list(t, &settings.Settings{Format: "table"}, http.StatusUnauthorized, `{"message":"invalid key"}`)
	require.ErrorContains(t, err, "list checkpoints")
	require.ErrorContains(t, err, "invalid key")
	_, _, err = list(t, &settings.Settings{Format: "table"}, http.StatusOK, `[{"id":7}]`)
	require.ErrorContains(t, err, "read checkpoint 1 of the list")
}

func TestAServersTextCannotBreakTheTable(t *testing.T) {
	t.Parallel()
	data, _, err := list(t, &settings.Settings{Format: "table"}, http.StatusOK,
		`[{"id":"1","status":"ready","gpu":"","platform":"","name":"a\nb\u001b[31m\tc","info":{}}]`)
	require.NoError(t, err)
	require.Equal(t, "ID  NAME        STATUS\n1   a b [31m c  ready\n", data)
}
