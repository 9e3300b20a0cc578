package cleanup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFileWithHolesIsAsLargeAsWhatItTakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "small"), []byte("three"), 0o600))
	holes, err := os.Create(filepath.Join(dir, "disk.img"))
	require.NoError(t, err)
	require.NoError(t, holes.Truncate(30<<30))
	require.NoError(t, holes.Close())
	size, err := diskUse(dir)
	require.NoError(t, err)
	require.Less(t, size, bytes(1<<20))
	require.GreaterOrEqual(t, size, bytes(5))
}
