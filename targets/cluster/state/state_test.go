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
		s.Register(Registration{URL: "u", Name: "again"})
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

// What only the state knows of must not go with it when a creation fails.
func TestAStateThatKnowsOfMoreThanItsEngineOutlastsIt(t *testing.T) {
	t.Parallel()
	only := &State{Engines: []string{"unix:///docker.sock"}, Local: []string{"http://127.0.0.1:5"}}
	only.Register(Registration{URL: "http://127.0.0.1:5", ID: "42"})
	require.False(t, only.Outlasts())
	for name, know := range map[string]func(*State){
		"the propagator's token":    func(s *State) { s.Token = Token{"secret"} },
		"a registration":            func(s *State) { s.Register(Registration{URL: "https://propagator", ID: "42"}) },
		"another engine":            func(s *State) { s.UsedEngine("unix:///another.sock") },
		"a cluster that was before": func(s *State) { s.UsedExisting("/kubeconfig", "eks", "cedana-system", "1a2b3c4d") },
	} {
		s := &State{Engines: []string{"unix:///docker.sock"}}
		know(s)
		require.True(t, s.Outlasts(), name)
	}
}

func TestTheExistingClusterOfAnEarlierVersionIsNotForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, File),
		[]byte(`{"existing_cluster":{"kubeconfig":"/k","context":"eks","namespace":"n","runs":["1a2b3c4d"]}}`), 0o600))
	require.NoError(t, Update(dir, func(s *State) { s.UsedExisting("/k", "gke", "n", "5e6f7a8b") }))
	s, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, []Existing{{"/k", "eks", "n", []string{"1a2b3c4d"}}, {"/k", "gke", "n", []string{"5e6f7a8b"}}}, s.Existing)
}
