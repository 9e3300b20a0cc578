package settings

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAHomeHasOneOwnerWhoeverIsFirst(t *testing.T) {
	t.Parallel()
	r := Run{Home: filepath.Join(t.TempDir(), "home"), ClusterName: "a"}
	require.Empty(t, r.Owner())
	var all sync.WaitGroup
	owners := make([]string, 8)
	for i := range owners {
		all.Go(func() {
			if err := KeepOwner(r.Home); err != nil {
				t.Error(err)
			}
			owners[i] = r.Owner()
		})
	}
	all.Wait()
	for _, owner := range owners {
		require.Equal(t, owners[0], owner)
	}
	require.NotEmpty(t, owners[0])
	require.Equal(t, owners[0], r.DockerLabels()[DockerLabelOwner])
	other := t.TempDir()
	require.NoError(t, KeepOwner(other))
	require.NotEqual(t, owners[0], OwnerOf(other))

	entries, err := os.ReadDir(r.Home)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NoError(t, os.Mkdir(filepath.Join(r.Home, "images"), 0o700))
	RemoveOwner(r.Home)
	require.Equal(t, owners[0], r.Owner(), "it stays as long as anything does")
	require.NoError(t, os.Remove(filepath.Join(r.Home, "images")))
	RemoveOwner(r.Home)
	require.NoDirExists(t, r.Home)
}

func TestADamagedOwnerIsNobody(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(home, OwnerFile), []byte("*\n"), 0o600))
	require.Empty(t, OwnerOf(home))
	require.ErrorContains(t, KeepOwner(home), "damaged")
}
