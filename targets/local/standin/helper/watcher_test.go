package helper

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// roleVariable makes the test's binary a helper, or its watcher.
const roleVariable = "HELPER_TEST_FROZEN_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(roleVariable)
	switch {
	case dir == "":
		os.Exit(m.Run())
	case len(os.Args) > 1 && os.Args[1] == WatcherCommand:
		if err := Watcher(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		if err := freezeForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// freezeForEver is a helper that freezes a pod and hangs.
func freezeForEver(dir string) error {
	if err := startWatcher(os.Args[0], dir, (*exec.Cmd).Start); err != nil {
		return err
	}
	group := Freezer{Dir: filepath.Join(filepath.Dir(dir), "cgroup")}
	if _, err := freezePod(context.Background(), dir, "work-1", "uid-1", []Container{{ID: "c", Freezer: group}}); err != nil {
		return err
	}
	fmt.Println("frozen")
	select {}
}

// Minutes may pass until kubelet starts the next helper.
func TestAPodGoesOnWithinSecondsOfItsHelpersDeath(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	state := filepath.Join(top, "cgroup", "freezer.state")
	require.NoError(t, os.Mkdir(filepath.Dir(state), 0o755))
	require.NoError(t, os.WriteFile(state, []byte("THAWED"), 0o600))
	frozen := filepath.Join(top, "frozen")
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), roleVariable+"="+frozen)
	helper.Stderr = os.Stderr
	out, err := helper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, helper.Start())
	said := make([]byte, len("frozen"))
	_, err = out.Read(said)
	require.NoError(t, err)
	is := func(want string) func() bool {
		return func() bool { data, err := os.ReadFile(state); return err == nil && string(data) == want }
	}
	require.True(t, is("FROZEN")())

	require.NoError(t, helper.Process.Kill())
	require.Error(t, helper.Wait())
	require.Eventually(t, is("THAWED"), 10*time.Second, 10*time.Millisecond)
	entries, err := os.ReadDir(frozen)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the next helper has to know what work was broken off")
	work, err := thawLeftOver(t.Context(), frozen)
	require.NoError(t, err)
	require.Equal(t, []string{"work-1"}, work)
}

// A helper that was started meanwhile may have frozen the pod for another checkpoint.
func TestAWatcherLeavesAloneWhatAnotherHelperHasFrozen(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	group := Freezer{Dir: top}
	require.NoError(t, os.WriteFile(filepath.Join(top, "freezer.state"), []byte("THAWED"), 0o600))
	dir := filepath.Join(top, "frozen")
	before, err := freezePod(t.Context(), dir, "work-1", "uid-1", []Container{{ID: "c", Freezer: group}})
	require.NoError(t, err)
	_, err = freezePod(t.Context(), dir, "work-2", "uid-1", []Container{{ID: "c", Freezer: group}})
	require.NoError(t, err)
	require.NoError(t, letGoUnlessTaken(t.Context(), before))
	data, err := os.ReadFile(filepath.Join(top, "freezer.state"))
	require.NoError(t, err)
	require.Equal(t, "FROZEN", string(data))
}
