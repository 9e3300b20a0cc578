package runtimefault

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
)

// TestMain makes this test binary the background process that signalLater starts from it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == SignalLaterCommand {
		if SignalLater(context.Background(), os.Args[2:]) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func target(name fault.Name) runtime.Target {
	return runtime.Target{PodUID: "pod", Annotations: map[string]string{relay.Annotation: string(name)}}
}

func TestContainersStartCold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     fault.Name
		restored []string
		cold     bool
	}{
		{"", []string{"first"}, false},
		{fault.ColdStart, nil, true},
		{fault.OneContainerCold, nil, false},
		{fault.OneContainerCold, []string{"first"}, true},
	} {
		warm := func(context.Context, runtime.Invocation, runtime.Target) (bool, error) { return false, nil }
		restored := func(podUID string) []string {
			require.Equal(t, "pod", podUID)
			return c.restored
		}
		cold, err := startCold(warm, restored)(t.Context(), runtime.Invocation{}, target(c.name))
		require.NoError(t, err)
		require.Equal(t, c.cold, cold, c.name)
	}
}

func TestStandardOutputIsLost(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]*os.File{"": os.Stdout, fault.StdoutLost: nil} {
		recreate := spoilProcesses(func(_ context.Context, r runtime.RecreateRequest) error {
			require.Equal(t, want, r.Stdout, name)
			return nil
		})
		require.NoError(t, recreate(t.Context(), runtime.RecreateRequest{Target: target(name), Stdout: os.Stdout}))
	}
}

func TestEveryFaultOfTheRuntimeIsOneThatItCanShow(t *testing.T) {
	t.Parallel()
	for _, f := range fault.All() {
		other := f.Name == fault.ColdStart || f.Name == fault.OneContainerCold || f.Name == fault.StdoutLost ||
			f.Name == fault.SourceStopped || f.Name == fault.EmptyDirShared || f.Name == fault.RestoresOneProcess
		require.Equal(t, f.By == fault.Runtime, spoils[f.Name] != nil || other, "%s is the %s's", f.Name, f.By)
	}
}

// holder is a process that has these files as its descriptors from 3 on.
func holder(t *testing.T, files ...*os.File) (pid int, pidFile string, wait func() error) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.ExtraFiles = files
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pidFile = filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600))
	return cmd.Process.Pid, pidFile, cmd.Wait
}

func spoil(t *testing.T, name fault.Name, pidFile string) {
	t.Helper()
	recreate := spoilProcesses(func(context.Context, runtime.RecreateRequest) error { return nil })
	require.NoError(t, recreate(t.Context(), runtime.RecreateRequest{
		Target: target(name), Invocation: runtime.Invocation{Flags: map[string]string{"pid-file": pidFile}},
	}))
}

func TestOffsetsListenersAndTimersAreSpoilt(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteString("five!")
	require.NoError(t, err)
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // as every program that CRIU can dump
	listener, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	defer socket.Close()
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)
	require.NoError(t, err)
	timer := os.NewFile(uintptr(fd), "timer")
	defer timer.Close()
	hour := unix.ItimerSpec{Value: unix.Timespec{Sec: 3600}}
	require.NoError(t, unix.TimerfdSettime(fd, 0, &hour, nil))
	_, pidFile, _ := holder(t, file, socket, timer)
	if os.Geteuid() != 0 {
		t.Skip("takes another process's descriptors and changes its sockets, as the runtime does, which is root: run as root")
	}

	at := func() int64 {
		n, err := file.Seek(0, io.SeekCurrent)
		require.NoError(t, err)
		return n
	}
	dial := func() error {
		c, err := net.DialTimeout("tcp", listener.Addr().String(), 300*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	}
	left := func() int64 {
		var now unix.ItimerSpec
		require.NoError(t, unix.TimerfdGettime(fd, &now))
		return now.Value.Sec
	}
	spoil(t, fault.ColdStart, pidFile)
	require.EqualValues(t, 5, at(), "another fault touches nothing here")
	spoil(t, fault.FileOffsetReset, pidFile)
	require.Zero(t, at())
	require.NoError(t, dial())
	spoil(t, fault.NotListening, pidFile)
	require.ErrorContains(t, dial(), "i/o timeout")
	require.NotZero(t, left())
	spoil(t, fault.TimerStops, pidFile)
	require.Zero(t, left())
}

func TestASignalComesLater(t *testing.T) {
	t.Parallel()
	pid, _, wait := holder(t)
	begin := time.Now()
	require.NoError(t, signalLater(pid, "200ms", "KILL"))
	require.Error(t, wait())
	require.GreaterOrEqual(t, time.Since(begin), 200*time.Millisecond)
}
