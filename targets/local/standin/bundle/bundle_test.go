package bundle

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
)

func TestTheNameIsTheVariablesLastValue(t *testing.T) {
	t.Parallel()
	name := func(environment ...string) string {
		return CheckpointName(&specs.Spec{Process: &specs.Process{Env: environment}})
	}
	require.Empty(t, CheckpointName(&specs.Spec{}))
	require.Empty(t, name())
	require.Empty(t, name("PATH=/bin", "CEDANA_CHECKPOINTS=no", "CEDANA_CHECKPOINT="))
	require.Equal(t, "b=c", name("CEDANA_CHECKPOINT=a", "CEDANA_CHECKPOINT=b=c", "X=y"))
}

func TestAMountIsWhereTheBundleHasIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"mounts":[{"destination":"/dev/shm","source":"/run/shm-of-the-pod"}]}`), 0o600))
	source, err := MountSource(dir, "/dev/shm")
	require.NoError(t, err)
	require.Equal(t, "/run/shm-of-the-pod", source)
	_, err = MountSource(dir, "/other")
	require.ErrorContains(t, err, "/other")
}

func TestAnUnreadableFileIsNamed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	_, err := ReadState(root, "gone")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(root, "config.json"), []byte("{"), 0o600))
	_, err = Read(root)
	require.ErrorContains(t, err, filepath.Join(root, "config.json"))
}
