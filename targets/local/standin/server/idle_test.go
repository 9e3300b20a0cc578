package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABodyThatStandsStillIsGivenUpAndASlowOneIsNot(t *testing.T) {
	t.Parallel()
	const idle = 500 * time.Millisecond
	ended := make(chan error, 1)
	server := httptest.NewServer(withoutIdleBodies(idle, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
		select { // as a poll that is held
		case <-r.Context().Done():
			ended <- r.Context().Err()
		case <-time.After(2 * idle):
		}
	})))
	t.Cleanup(server.Close)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
		require.NoError(t, err)
		return c
	}
	slow := dial()
	for _, b := range "abcdef" {
		_, err := io.WriteString(slow, string(b))
		require.NoError(t, err)
		time.Sleep(idle / 4)
	}
	require.NoError(t, <-ended)
	answer, err := http.ReadResponse(bufio.NewReader(slow), nil)
	require.NoError(t, err, "the held answer comes")
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)

	_, err = io.WriteString(dial(), "abc")
	require.NoError(t, err)
	select {
	case err := <-ended:
		require.ErrorContains(t, err, "timeout")
	case <-time.After(20 * idle):
		t.Fatal("a body that stands still is waited for for ever")
	}
}

func TestAnArchiveHasALargestSize(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.BlobLimit = 4 })
	for _, length := range []int64{5, -1} {
		request := httptest.NewRequest(http.MethodPut, blobPrefix+"a.tar", strings.NewReader("12345"))
		request.ContentLength = length
		request.Header.Set("Authorization", "Bearer "+canary)
		answer := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(answer, request)
		require.Equal(t, http.StatusRequestEntityTooLarge, answer.Code, "%s", answer.Body)
		entries, err := r.server.archives.List("")
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}
