package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fetch uses a file's URL as a client does that knows nothing of this API: without a token.
func (r *rig) fetch(method, address, body string) (int, string) {
	r.Helper()
	u, err := url.Parse(address)
	require.NoError(r, err)
	code, _, answer, err := r.try(r.Context(), method, u.RequestURI(), "", body, nil)
	require.NoError(r, err)
	return code, answer
}

func (r *rig) fileURL(method, path string) string {
	r.Helper()
	code, _, body := r.send(method, "/v1/files/"+path, nil)
	require.Equal(r, 200, code, body)
	return body
}

func TestAFilesURLWorksByItself(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	code, body := r.fetch("PUT", r.fileURL("PUT", "ci/a%20b.tar"), "content")
	require.Equal(t, 200, code, body)
	get := r.fileURL("GET", "ci/a%20b.tar")
	code, body = r.fetch("GET", get, "")
	require.Equal(t, 200, code)
	require.Equal(t, "content", body)
	code, _ = r.fetch("HEAD", get, "")
	require.Equal(t, 200, code)
	code, _, body = r.send("GET", "/v1/files/dir/ci", nil)
	require.Equal(t, 200, code)
	require.JSONEq(t, `["ci/a b.tar"]`, body)
}

func TestAFilesURLIsForNothingElse(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.put("a", []byte("one"))
	r.put("b", []byte("two"))
	get, put := r.fileURL("GET", "a"), r.fileURL("PUT", "a")
	for name, request := range map[string][2]string{
		"to write where it is for reading": {"PUT", get},
		"to read where it is for writing":  {"GET", put},
		"for another file":                 {"GET", strings.Replace(get, "/blobs/a?", "/blobs/b?", 1)},
		"for another call":                 {"GET", strings.Replace(get, "/internal/v1/blobs/a?", "/v1/user?", 1)},
		"for longer":                       {"GET", strings.Replace(get, "expires=1", "expires=2", 1)},
		"without a signature":              {"GET", get[:strings.Index(get, "&signature")]},
		"with another signature":           {"GET", get[:len(get)-2] + "zz"},
	} {
		code, body := r.fetch(request[0], request[1], "changed")
		assert.Equal(t, 401, code, "%s: %s", name, body)
	}
	code, body := r.fetch("GET", get, "")
	require.Equal(t, 200, code)
	require.Equal(t, "one", body)
}

func TestAFilesURLExpiresAndOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startIn(t, dir, nil)
	first.put("a", []byte("one"))
	get := first.fileURL("GET", "a")
	first.server.Stop()
	require.NoError(t, first.server.Close())

	r := startIn(t, dir, nil)
	code, body := r.fetch("GET", get, "")
	require.Equal(t, http.StatusOK, code, body)
	r.server.now = func() time.Time { return time.Now().Add(15*time.Minute + 2*time.Second) }
	code, _ = r.fetch("GET", get, "")
	require.Equal(t, http.StatusUnauthorized, code)
}
