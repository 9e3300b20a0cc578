package platform

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
)

// A propagator answers 404 for another organisation's clusters, too.
func TestAClusterThatIsNotThereIsGoneOnlyForWhoRegisteredIt(t *testing.T) {
	t.Parallel()
	code, deleted := http.StatusNotFound, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/user") {
			_, _ = w.Write([]byte("me"))
			return
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`[{"id":"another","name":"a"},{"id":"its","name":"a-run","status":"active","metadata":{}}]`))
			return
		}
		deleted = r.URL.Path
		w.WriteHeader(code)
	}))
	t.Cleanup(server.Close)
	registered := func(user string) error {
		return deregister(t.Context(), state.Registration{URL: server.URL, ID: "42", User: user}, "canary")
	}
	require.NoError(t, registered("me"))
	require.ErrorContains(t, registered("another"), "registered by another")
	require.ErrorContains(t, registered(""), "me's (registered by nobody knows whom)")
	code = http.StatusForbidden
	require.Error(t, registered("me"))

	// A run that was killed before it had the id has left the name.
	code = http.StatusOK
	require.NoError(t, deregister(t.Context(), state.Registration{URL: server.URL, Name: "a-run", User: "me"}, "canary"))
	require.Equal(t, "/v2/cluster/its", deleted)
	deleted = ""
	require.NoError(t, deregister(t.Context(), state.Registration{URL: server.URL, Name: "b-run", User: "me"}, "canary"))
	require.ErrorContains(t, deregister(t.Context(), state.Registration{URL: server.URL, Name: "b-run", User: "another"}, "canary"),
		"no cluster called b-run is registered: it is gone, or of another user")
	require.Empty(t, deleted)
}
