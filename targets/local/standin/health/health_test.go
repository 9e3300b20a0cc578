package health

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(s *Server, path string) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReadinessIsWhatItWasToldLast(t *testing.T) {
	t.Parallel()
	s := New("127.0.0.1:0", "not yet")
	code, body := get(s, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "not yet")
	s.Ok()
	code, _ = get(s, "/readyz")
	require.Equal(t, http.StatusOK, code)
	s.Fail(errors.New("lost it"))
	code, body = get(s, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "lost it")
	code, _ = get(s, "/healthz")
	require.Equal(t, http.StatusOK, code, "not ready is not dead")
	code, _ = get(s, "/other")
	require.Equal(t, http.StatusNotFound, code)
}

func TestServeEndsWithItsWork(t *testing.T) {
	t.Parallel()
	reason := errors.New("the work's own")
	require.ErrorIs(t, New("127.0.0.1:0", "").Serve(t.Context(), func(context.Context) error { return reason }), reason)
	require.NoError(t, New("127.0.0.1:0", "").Serve(t.Context(), func(context.Context) error { return nil }))
	require.ErrorContains(t, New("256.0.0.1:0", "").Serve(t.Context(), func(context.Context) error { return nil }), "listen")
}
