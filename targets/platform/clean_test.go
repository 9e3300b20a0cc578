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
	code := http.StatusNotFound
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/user") {
			_, _ = w.Write([]byte("me"))
			return
		}
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
}
