package console

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressAndDataGoToTheirOwnWriters(t *testing.T) {
	t.Parallel()
	var progress, data bytes.Buffer
	c := New(&progress, &data)
	c.Step("pulling %s", "nothing")
	_, err := c.Data().Write([]byte("row\n"))
	require.NoError(t, err)
	require.Equal(t, "- pulling nothing\n", progress.String())
	require.Equal(t, "row\n", data.String())
}

func TestALongStepRepeatsItsLastState(t *testing.T) {
	t.Parallel()
	var progress bytes.Buffer
	c := New(&progress, &bytes.Buffer{})
	c.beat = time.Millisecond
	err := c.Run(t.Context(), "create cluster", func(_ context.Context, s *Step) error {
		s.Set("waiting for node a")
		require.Eventually(t, func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return strings.Contains(progress.String(), "waiting for node a")
		}, 5*time.Second, time.Millisecond)
		s.Note("1 node")
		return nil
	})
	require.NoError(t, err)
	require.Contains(t, progress.String(), "✓ create cluster: 1 node (")
}

func TestAStateIsOneLine(t *testing.T) {
	t.Parallel()
	var progress bytes.Buffer
	err := New(&progress, &bytes.Buffer{}).Run(t.Context(), "deploy", func(_ context.Context, s *Step) error {
		s.Set("no route:\r\n  to %s\n", "host")
		require.Equal(t, "no route:; to host", s.State())
		s.Note("a\nb")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(progress.String(), "\n"))
}

func TestAFailedStepSaysSoAndReturnsItsError(t *testing.T) {
	t.Parallel()
	var progress bytes.Buffer
	broken := errors.New("broken")
	err := New(&progress, &bytes.Buffer{}).Run(t.Context(), "deploy", func(context.Context, *Step) error { return broken })
	require.ErrorIs(t, err, broken)
	require.Contains(t, progress.String(), "✗ deploy failed after ")
}

func TestNoColorIsWantedWhereItIsSetToAnything(t *testing.T) {
	t.Parallel()
	with := func(value string) func(string) string {
		return func(name string) string { return map[string]string{"NO_COLOR": value}[name] }
	}
	require.True(t, colored(with(""), true), "a variable that is set to nothing counts as not set")
	require.False(t, colored(with("1"), true))
	require.False(t, colored(with(""), false))
}
