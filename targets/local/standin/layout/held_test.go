package layout

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyDirectoriesOfDeadProcessesAreRemoved(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(t.TempDir(), "work")
	alive, err := MakeHeld(parent, "restore-")
	require.NoError(t, err)
	dead, err := MakeHeld(parent, "restore-")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dead.Path, "pages-1.img"), []byte("memory"), 0o600))
	require.NoError(t, dead.lock.Close(), "as the kernel does when a process is killed")
	other := filepath.Join(parent, "checkpoint-1")
	require.NoError(t, os.Mkdir(other, 0o700))

	require.NoError(t, RemoveAbandoned(parent, "restore-"))
	require.NoDirExists(t, dead.Path)
	require.DirExists(t, alive.Path)
	require.DirExists(t, other)
	require.NoError(t, alive.Remove())
	require.NoDirExists(t, alive.Path)
}
