package state

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestStateIsRememberedAndReadableByItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "clusters", "a")
	require.NoError(t, Update(dir, func(s *State) {
		s.Cluster = "a"
		s.Token.Secret = settings.Secret("tell nobody")
		s.Register(Registration{URL: "u", ID: "1", Name: "n"})
		s.Register(Registration{URL: "u", ID: "1", Name: "again"})
		s.UsedEngine("unix:///x")
		s.UsedEngine("unix:///x")
	}))
	s, err := Load(dir)
	require.NoError(t, err)
	assert.Equal(t, "tell nobody", s.Token.Reveal())
	assert.Equal(t, []Registration{{URL: "u", ID: "1", Name: "again"}}, s.Registered)
	assert.Equal(t, []string{"unix:///x"}, s.Engines)
	assert.False(t, s.Created.IsZero())
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v", *s, s.Token)} {
		assert.NotContains(t, shown, "tell nobody")
	}
	info, err := os.Stat(filepath.Join(dir, File))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing but the state file is left")
}

func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			assert.NoError(t, Update(dir, func(s *State) { s.Register(Registration{ID: fmt.Sprint(i)}) }))
		})
	}
	wg.Wait()
	s, err := Load(dir)
	require.NoError(t, err)
	assert.Len(t, s.Registered, 20)
}

func TestNoStateIsNotExist(t *testing.T) {
	t.Parallel()
	_, err := Load(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestABrokenStateIsNamedAndNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, File)
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	err := Update(dir, func(*State) { t.Error("changed a state that could not be read") })
	require.ErrorContains(t, err, path)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "{", string(data))
}

func TestListOfClusters(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dirs, err := List(filepath.Join(home, "missing"))
	require.NoError(t, err)
	assert.Empty(t, dirs)
	require.NoError(t, Update(filepath.Join(home, "a"), func(*State) {}))
	require.NoError(t, os.WriteFile(filepath.Join(home, "file"), nil, 0o600))
	dirs, err = List(home)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": filepath.Join(home, "a")}, dirs)
	require.NoError(t, Remove(dirs["a"]))
	require.NoError(t, Remove(dirs["a"]))
	assert.NoDirExists(t, dirs["a"])
}
