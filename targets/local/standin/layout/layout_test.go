package layout

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestExecutableIsFoundButNeverTheWrapper(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(first, "tool"), nil, 0o644), "not executable")
	require.NoError(t, os.WriteFile(filepath.Join(second, "tool"), nil, 0o755))
	require.Equal(t, filepath.Join(second, "tool"), findExecutable("tool", []string{"", first, RuntimeDir, second}))
	require.Empty(t, findExecutable("tool", []string{first}))
}

func TestConfigIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "config.json")
	want := Config{URL: "http://10.0.0.1:1324/v1", Token: "a-token", ClusterID: "c", Node: "n", RestoreTimeout: settings.Duration{Duration: 5 * time.Minute}}
	require.NoError(t, want.Save(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	got, err := LoadConfig(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestMissingConfigNamesWhoWritesIt(t *testing.T) {
	t.Parallel()
	_, err := LoadConfig(filepath.Join(t.TempDir(), "config.json"))
	require.ErrorContains(t, err, "cedana-helper")
}
