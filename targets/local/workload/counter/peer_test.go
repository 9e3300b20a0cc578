package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPauseHasWhatWasHeardBeforeIt(t *testing.T) {
	t.Parallel()
	told := newMade(t, config{})
	told.ticks(7)
	m := newMade(t, config{Peer: told.url})
	m.tick(time.Now())
	m.hear(t.Context())
	told.ticks(5)
	m.last = time.Now().Add(-time.Minute) // restored: what it hears now is from after its checkpoint
	m.hear(t.Context())
	m.tick(time.Now())
	require.EqualValues(t, 7, m.state().Pauses[0].Heard)
	m.hear(t.Context())
	m.last = m.last.Add(-time.Minute)
	m.tick(time.Now())
	require.EqualValues(t, 12, m.state().Pauses[1].Heard)
}

func TestAPeerThatDoesNotAnswerIsNoFailure(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	m := newMade(t, config{Peer: gone.URL})
	m.tick(time.Now())
	m.hear(t.Context())
	m.last = m.last.Add(-time.Minute)
	m.tick(time.Now())
	require.NoError(t, m.health())
	require.Zero(t, m.state().Pauses[0].Heard)
}
