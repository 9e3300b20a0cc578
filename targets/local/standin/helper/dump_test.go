package helper

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
)

// A dump that hangs ends when the run's time for it does, and says which variable decides it.
func TestADumpIsGivenTheTimeThatTheHelperIsConfiguredWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runc := filepath.Join(dir, "runc")
	require.NoError(t, os.WriteFile(runc, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755))
	ctx, cancel := (&Helper{dumpTimeout: 50 * time.Millisecond}).within(t.Context())
	defer cancel()
	begin := time.Now()
	err := tools{Runc: runc}.dump(ctx, dir, &Dumped{Container: Container{Name: "a"}, Checkpoint: archive.Checkpoint{Dir: filepath.Join(dir, "a")}})
	require.ErrorContains(t, err, "dump container a: not done after 50ms (E2E_CHECKPOINT_TIMEOUT)")
	require.Less(t, time.Since(begin), 30*time.Second)
}
