package shim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRuntimeStandsFirstInPathOnce(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"A=1", "PATH=/rt:/bin:/sbin"}, withRuntimeFirst([]string{"A=1", "PATH=/bin:/sbin"}, "/rt"))
	require.Equal(t, []string{"PATH=/rt:/bin"}, withRuntimeFirst([]string{"PATH=/rt:/bin"}, "/rt"))
	require.Equal(t, []string{"PATH=/rt:/rt2:/bin"}, withRuntimeFirst([]string{"PATH=/rt2:/bin"}, "/rt"))
}

func TestWithoutPathTheNodesUsualOneIsTaken(t *testing.T) {
	t.Parallel()
	got := withRuntimeFirst(nil, "/rt")
	require.Len(t, got, 1)
	require.Contains(t, got[0], "PATH=/rt:")
	require.Contains(t, got[0], "/usr/bin")
}
