package capabilities

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissingCapabilitiesHaveTheirNames(t *testing.T) {
	t.Parallel()
	got, err := Missing("000001fffeffffff", 40)
	require.NoError(t, err)
	require.Equal(t, []string{SysResource}, got)
	got, err = Missing("000001ffffffffff", 40)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = Missing("", 40)
	require.Error(t, err)
}

func TestAHostIsReadFromProc(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	missing, err := read(proc)
	require.NoError(t, err, "no Linux, so nothing is missing")
	require.Empty(t, missing)

	write := func(name, content string) {
		path := filepath.Join(proc, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	write("sys/kernel/cap_last_cap", "40\n")
	write("self/status", "Name:\tx\nCapBnd:\t000001fffeffffff\n")
	missing, err = read(proc)
	require.NoError(t, err)
	require.Equal(t, []string{SysResource}, missing)

	write("self/status", "Name:\tx\n")
	_, err = read(proc)
	require.ErrorContains(t, err, "CapBnd")
}
