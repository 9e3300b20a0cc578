package requestlog

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARequestAndItsAnswerAreOneLineWithoutTheToken(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "{\n \"message\": \"no\"\n}")
	}))
	t.Cleanup(server.Close)
	log := New(http.DefaultTransport)
	request, err := http.NewRequest(http.MethodPost, server.URL+"/v2/restore/pod?x=1", strings.NewReader(`{"action_id":"a"}`))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer canary")
	response, err := (&http.Client{Transport: log}).Do(request)
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(content), "message")
	require.NoError(t, response.Body.Close())

	require.Len(t, log.Lines(), 1)
	require.Regexp(t, `^\S+ POST /v2/restore/pod\?x=1 \{"action_id":"a"\} -> 418 after \S+: \{ "message": "no" \}$`, log.Lines()[0])
	require.NotContains(t, log.Lines()[0], "canary")
}

func TestALongAnswerIsCut(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 3*most))
	}))
	t.Cleanup(server.Close)
	log := New(http.DefaultTransport)
	response, err := (&http.Client{Transport: log}).Get(server.URL)
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Len(t, content, 3*most, "the caller gets all of it")
	require.NoError(t, response.Body.Close())
	require.Less(t, len(log.Lines()[0]), 2*most)
	require.True(t, strings.HasSuffix(log.Lines()[0], " ..."))
}

func TestARequestThatFailsIsALineToo(t *testing.T) {
	t.Parallel()
	log := New(http.DefaultTransport)
	_, err := (&http.Client{Transport: log}).Get("http://127.0.0.1:1/v2/user")
	require.Error(t, err)
	require.Len(t, log.Lines(), 1)
	require.Contains(t, log.Lines()[0], "GET /v2/user -> ")
}
