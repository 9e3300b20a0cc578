package helper

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAStoppedProcessIsRefusedWhereItCannotBeDumped(t *testing.T) {
	t.Parallel()
	proc, group := t.TempDir(), t.TempDir()
	write := func(path, content string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	write(filepath.Join(group, "cgroup.procs"), "7\n8\n9\n")
	write(filepath.Join(proc, "7", "stat"), "7 (init) S 1 7")
	write(filepath.Join(proc, "8", "stat"), "8 (a) T job) R 7 7")
	all := []Container{{Name: "main", Freezer: Freezer{Dir: group}}}
	require.NoError(t, refuseStopped(proc, all), "process 9 has ended")

	write(filepath.Join(proc, "9", "stat"), "9 (less) T 7 7")
	require.ErrorContains(t, refuseStopped(proc, all), "container main has a stopped process, 9 (less)")
	all[0].Freezer.V2 = true
	require.NoError(t, refuseStopped(proc, all))
	require.Error(t, refuseStopped(proc, []Container{{Freezer: Freezer{Dir: filepath.Join(group, "none")}}}))
}
