package helper

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cgroup is a directory whose freezer.state says what was written to it, as a cgroup of the first version does.
func makeCgroup(t *testing.T) Freezer {
	t.Helper()
	f := Freezer{Dir: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(f.Dir, "freezer.state"), []byte("THAWED\n"), 0o600))
	return f
}

func isFrozen(t *testing.T, f Freezer) bool {
	t.Helper()
	frozen, _, err := f.state()
	require.NoError(t, err)
	return frozen
}

func TestAllContainersOfAPodAreFrozenAndThawedTogether(t *testing.T) {
	t.Parallel()
	dir, a, b := t.TempDir(), makeCgroup(t), makeCgroup(t)
	p, err := freezePod(t.Context(), dir, "work-1", uid, []Container{{Freezer: a}, {Freezer: b}})
	require.NoError(t, err)
	require.True(t, isFrozen(t, a) && isFrozen(t, b))
	require.FileExists(t, filepath.Join(dir, uid))
	require.NoError(t, p.thaw(t.Context()))
	require.False(t, isFrozen(t, a) || isFrozen(t, b))
	require.NoFileExists(t, filepath.Join(dir, uid))
}

func TestAFreezeThatFailsHalfWayThawsWhatItFroze(t *testing.T) {
	t.Parallel()
	dir, a := t.TempDir(), makeCgroup(t)
	_, err := freezePod(t.Context(), dir, "work-1", uid, []Container{{Freezer: a}, {Freezer: Freezer{Dir: filepath.Join(dir, "gone")}}})
	require.ErrorContains(t, err, "gone")
	require.False(t, isFrozen(t, a))
	require.NoFileExists(t, filepath.Join(dir, uid))
}

func TestThawingDoesNotStopWithItsCaller(t *testing.T) {
	t.Parallel()
	dir, a := t.TempDir(), makeCgroup(t)
	p, err := freezePod(t.Context(), dir, "work-1", uid, []Container{{Freezer: a}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, p.thaw(ctx))
	require.False(t, isFrozen(t, a))
}

func TestAPodLeftFrozenByAKilledHelperIsThawed(t *testing.T) {
	t.Parallel()
	dir, a := t.TempDir(), makeCgroup(t)
	_, err := freezePod(t.Context(), dir, "work-1", uid, []Container{{Freezer: a}})
	require.NoError(t, err)
	// Beside it: damage, a half-written entry, and a pod that has gone since.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "damaged"), []byte("{"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".x.123"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gone"), []byte(`{"pod_uid":"gone","freezers":[{"dir":"/nowhere/at/all"}]}`), 0o600))
	work, err := thawLeftOver(t.Context(), dir)
	require.ErrorContains(t, err, "damaged")
	require.Contains(t, work, "work-1", "so that its action need not wait for the lease to run out")
	require.False(t, isFrozen(t, a))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "only the damaged one is kept, for a look")
	work, err = thawLeftOver(t.Context(), filepath.Join(dir, "never-made"))
	require.NoError(t, err)
	require.Empty(t, work)
}

func TestAFreezeThatIsNeverReachedSaysTheLastState(t *testing.T) {
	t.Parallel()
	f := Freezer{Dir: t.TempDir(), V2: true}
	require.NoError(t, os.WriteFile(filepath.Join(f.Dir, "cgroup.freeze"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(f.Dir, "cgroup.events"), []byte("populated 1\nfrozen 0\n"), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := f.Freeze(ctx)
	require.ErrorContains(t, err, "frozen 0")
	require.ErrorContains(t, err, f.Dir)
}

func TestOnePodIsCheckpointedOnceAtATime(t *testing.T) {
	t.Parallel()
	var locks podLocks
	unlock, err := locks.lock(t.Context(), "a")
	require.NoError(t, err)
	other, err := locks.lock(t.Context(), "b")
	require.NoError(t, err, "another pod does not wait")
	other()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = locks.lock(ctx, "a")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	got := make(chan error)
	go func() {
		unlock, err := locks.lock(t.Context(), "a")
		if err == nil {
			unlock()
		}
		got <- err
	}()
	unlock()
	require.NoError(t, <-got)
}
