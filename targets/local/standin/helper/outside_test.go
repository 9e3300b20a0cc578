package helper

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func process(t *testing.T, proc, pid string, args ...string) {
	t.Helper()
	dir := filepath.Join(proc, pid)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cmdline"), []byte(strings.Join(args, "\x00")+"\x00"), 0o600))
}

func TestADumpThatOutlivedItsHelperIsWaitedFor(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	process(t, proc, "1", "init")
	process(t, proc, "20", "runc", "--root", "/r", "checkpoint", "--image-path", "/i", "other")
	process(t, proc, "21", "runc", "--root", "/r", "state", "mine")
	require.NoError(t, os.WriteFile(filepath.Join(proc, "meminfo"), nil, 0o600))
	require.NoError(t, waitForDumps(t.Context(), proc, []string{"mine"}), "neither another pod's dump nor another command")

	process(t, proc, "22", "runc", "--root", "/r", "checkpoint", "--image-path", "/i", "mine")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := waitForDumps(ctx, proc, []string{"mine"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "process 22")

	time.AfterFunc(50*time.Millisecond, func() { _ = os.RemoveAll(filepath.Join(proc, "22")) })
	require.NoError(t, waitForDumps(t.Context(), proc, []string{"mine"}))
}
