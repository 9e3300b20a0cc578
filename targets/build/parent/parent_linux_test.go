package parent

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const waits = "PARENT_TEST_WAITS"

func TestMain(m *testing.M) {
	if file := os.Getenv(waits); file != "" {
		gone := GroupGone(context.Background())
		_ = os.WriteFile(file+".new", []byte(strconv.Itoa(os.Getpid())), 0o600)
		_ = os.Rename(file+".new", file)
		<-gone
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The tests are run so: the targets start gotestsum, in a group of its own, that starts test2json, that starts the tests.
func TestAProcessEndsWhenTheOneThatStartedItsGroupIsKilled(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	first := exec.CommandContext(t.Context(), "sh", "-c", `setsid sh -c '"$0"; true' "$0" & wait`, os.Args[0])
	first.Env = append(os.Environ(), waits+"="+file)
	require.NoError(t, first.Start())
	var process int
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		process, err = unix.PidfdOpen(pid, 0)
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, first.Process.Kill())
	_ = first.Wait() // killed
	require.Eventually(t, func() bool {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, 0)
		return err == nil && ready == 1
	}, 30*time.Second, 10*time.Millisecond)
}
