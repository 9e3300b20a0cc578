package filelock

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/console/consoletest"
)

func TestTheSecondWaitsUntilTheFirstIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "below", "run.lock")
		unlock, err := Lock(t.Context(), console.Quiet{}, path, "runs e2e")
		require.NoError(t, err)

		short, cancel := context.WithTimeoutCause(t.Context(), 3*pause, fmt.Errorf("not its turn within 1s"))
		defer cancel()
		progress := &consoletest.Recorder{}
		_, err = Lock(short, progress, path, "runs deploy")
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, fmt.Sprintf("runs e2e (process %d", os.Getpid()))
		require.ErrorContains(t, err, "not its turn within 1s")
		said := progress.Take()
		require.Len(t, said, 1)
		require.Contains(t, said[0], "runs e2e")

		got := make(chan error)
		go func() {
			again, err := Lock(t.Context(), console.Quiet{}, path, "runs deploy")
			if err == nil {
				again()
			}
			got <- err
		}()
		unlock()
		require.NoError(t, <-got)
		require.NoFileExists(t, path)
	})
}

func TestTheHolderIsToldToWhoDoesNotWait(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run.lock")
	holder, err := Holder(path)
	require.NoError(t, err)
	require.Empty(t, holder)

	unlock, err := Lock(t.Context(), console.Quiet{}, path, "runs e2e")
	require.NoError(t, err)
	holder, err = Holder(path)
	require.NoError(t, err)
	require.Contains(t, holder, fmt.Sprintf("runs e2e (process %d", os.Getpid()))
	unlock()

	require.NoError(t, os.WriteFile(path, []byte("runs e2e (process 1)"), 0o600), "left by a holder that died")
	holder, err = Holder(path)
	require.NoError(t, err)
	require.Empty(t, holder)
}

// `mage clean` removes the directory that the lock is in, whoever holds it.
func TestALockWhoseDirectoryWentIsTakenAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cluster")
	path := filepath.Join(dir, "run.lock")
	unlock, err := Lock(t.Context(), console.Quiet{}, path, "runs e2e")
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	next, err := Lock(t.Context(), console.Quiet{}, path, "runs deploy")
	require.NoError(t, err)
	unlock()
	require.FileExists(t, path, "the next one's lock is not the first one's to remove")
	next()
}

func TestOnlyOneOfManyHasTheLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var wait sync.WaitGroup
	var holders atomic.Int32
	for range 8 {
		wait.Go(func() {
			for range 5 {
				unlock, err := Lock(t.Context(), console.Quiet{}, path, "counts")
				if err != nil {
					t.Error(err)
					return
				}
				assert.EqualValues(t, 1, holders.Add(1))
				time.Sleep(time.Millisecond)
				holders.Add(-1)
				unlock()
			}
		})
	}
	wait.Wait()
}
