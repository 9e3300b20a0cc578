package sudo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// path makes PATH a directory with this sudo in it, and returns its path.
func path(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	sudo := filepath.Join(dir, "sudo")
	if script != "" {
		require.NoError(t, os.WriteFile(sudo, []byte("#!/bin/sh\n"+script), 0o755))
	}
	return sudo
}

func TestRootNeedsNoSudo(t *testing.T) {
	path(t, "exit 1")
	prefix, ok := prefixFor(t.Context(), 0)
	require.True(t, ok)
	require.Empty(t, prefix)
}

func TestAUserWithoutAPasswordToGiveUsesSudo(t *testing.T) {
	sudo := path(t, `test "$*" = "-n true"`)
	prefix, ok := prefixFor(t.Context(), 1000)
	require.True(t, ok)
	require.Equal(t, []string{sudo, "-n"}, prefix)
}

func TestAUserWhoWouldBeAskedForAPasswordCannot(t *testing.T) {
	path(t, "echo 'sudo: a password is required' >&2; exit 1")
	_, ok := prefixFor(t.Context(), 1000)
	require.False(t, ok)
}

func TestWithoutSudoAUserCannot(t *testing.T) {
	path(t, "")
	_, ok := prefixFor(t.Context(), 1000)
	require.False(t, ok)
}
