package helper

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/criu"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
)

func TestInstalledTwiceItIsThereOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, install(root))
	before, err := os.Stat(filepath.Join(root, layout.Binary))
	require.NoError(t, err)
	// A shim runs from the old file while the new one is put in its place.
	require.NoError(t, install(root))
	after, err := os.Stat(filepath.Join(root, layout.Binary))
	require.NoError(t, err)
	require.False(t, os.SameFile(before, after), "replaced, not written over")
	require.Equal(t, os.FileMode(0o755), after.Mode())
	for _, link := range []string{layout.Runtime, layout.Shim} {
		target, err := os.Readlink(filepath.Join(root, link))
		require.NoError(t, err)
		require.Equal(t, layout.Binary, target)
	}
	for _, dir := range []string{layout.LibDir, layout.RuntimeDir, filepath.Dir(layout.Shim)} {
		left, err := filepath.Glob(filepath.Join(root, dir, "*.new"))
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

func TestALinkOfAnotherKindIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "runc")
	require.NoError(t, os.WriteFile(path, []byte("a file"), 0o755))
	require.NoError(t, replaceLink("/target", path))
	target, err := os.Readlink(path)
	require.NoError(t, err)
	require.Equal(t, "/target", target)
}

func TestCRIUIsConfiguredButAnAdministratorsFileIsNotTouched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "criu", "runc.conf")
	require.NoError(t, configureCRIU(path))
	require.NoError(t, configureCRIU(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, criu.Config, string(data))

	require.NoError(t, os.WriteFile(path, []byte(criu.ConfigHeader+"\nold\n"), 0o644))
	require.NoError(t, configureCRIU(path), "an older one of ours is replaced")
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, criu.Config, string(data))

	theirs := "tcp-close\nskip-in-flight\nlog-file /tmp/log\n"
	require.NoError(t, os.WriteFile(path, []byte(theirs), 0o644))
	require.NoError(t, configureCRIU(path))
	require.NoError(t, os.WriteFile(path, []byte("tcp-close\n"), 0o644))
	err = configureCRIU(path)
	require.ErrorContains(t, err, "skip-in-flight")
	require.ErrorContains(t, err, path)
}
