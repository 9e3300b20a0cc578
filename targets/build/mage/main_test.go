package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script, in the environment, makes the test's program watch a shell with that script, as main watches Mage.
const script = "CEDANA_E2E_TEST_SCRIPT"

func TestMain(m *testing.M) {
	if text := os.Getenv(script); text != "" {
		os.Exit(watch(exec.Command("sh", "-c", text), time.Second))
	}
	os.Exit(m.Run())
}

// start runs the watching program, and returns when its shell has set the trap and written down its process id.
func start(t *testing.T, trap, text string) (cmd *exec.Cmd, output *bytes.Buffer, pid int) {
	t.Helper()
	dir, output := t.TempDir(), &bytes.Buffer{}
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), script+"="+trap+"\necho $$ >"+dir+"/new; mv "+dir+"/new "+dir+"/pid\n"+text)
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, output, readPID(t, dir)
}

func readPID(t *testing.T, dir string) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	return pid
}

func code(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode()
}

func requireGone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, 10*time.Second, 10*time.Millisecond,
		"process %d is still there", pid)
}

func TestTheFirstRunIsSaidHowLongItTakes(t *testing.T) {
	t.Parallel()
	require.Contains(t, firstRun(2), "with 2 processors: about 3 min to compile the targets, and for the first cluster about 9 min more")
	require.Contains(t, firstRun(8), "with 8 processors: about 1 min to compile the targets, and for the first cluster about 3 min more")
}

func TestTheExitCodeIsMages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"exit 0": 0, "exit 2": 2, "kill -KILL $$": 137} {
		cmd, _, _ := start(t, "", text)
		require.Equal(t, want, code(t, cmd), text)
	}
}

func TestARunThatASignalEndsFails(t *testing.T) {
	t.Parallel()
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		// A target that puts things in order and then says that all is well.
		cmd, output, pid := start(t, `trap 'echo interrupted; exit 0' INT`, `while :; do sleep 0.05; done`)
		require.NoError(t, cmd.Process.Signal(sig))
		require.Equal(t, want, code(t, cmd), sig.String())
		require.Equal(t, "interrupted\n", output.String(), "once, however the run is ended")
		requireGone(t, pid)
	}
}

func TestWhatDoesNotEndIsKilled(t *testing.T) {
	t.Parallel()
	cmd, _, pid := start(t, `trap '' INT`, `while :; do sleep 0.05; done`)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 143, code(t, cmd))
	requireGone(t, pid)
}

func TestARunWhoseParentIsKilledEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parent := exec.Command("sh", "-c", os.Args[0]+" & wait")
	parent.Env = append(os.Environ(), script+"=echo $$ >"+dir+"/new; mv "+dir+"/new "+dir+"/pid; while :; do sleep 0.05; done")
	require.NoError(t, parent.Start())
	pid := readPID(t, dir)
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait() // killed
	requireGone(t, pid)
}
