package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestQueuesOfMessagesAndConnectionsTellLostRecords(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mqueue", "loopback"} {
		m, qs := with[queues](t, name)
		require.Len(t, qs, 1)
		require.NoError(t, qs[0].read(qs[0].oldest))
		m.lost(name, qs[0].name+": record")

		m, qs = with[queues](t, name)
		for n := range uint64(depth) {
			require.NoError(t, qs[0].read(qs[0].oldest+n))
		}
		m.lost(name, "is lost: there is nothing to read")

		m, qs = with[queues](t, name)
		breakDescriptor(t, qs[0].in)
		m.ticks(1)
		m.lost(name, qs[0].name)
	}
}

func TestAPseudoTerminalTellsALostSizeAndLostBytes(t *testing.T) {
	t.Parallel()
	m, p := with[*pty](t, "pty")
	require.NoError(t, unix.IoctlSetWinsize(p.slave, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	m.lost("pty", "the terminal has 24 rows of 80, want 37 of 111")

	m, p = with[*pty](t, "pty")
	require.NoError(t, p.queues[0].read(p.queues[0].oldest))
	m.lost("pty", "the pseudo terminal: record")
}

// withSysV removes what would outlive the test.
func withSysV(t *testing.T) (*made, *sysv) {
	t.Helper()
	m, s := with[*sysv](t, "sysv")
	t.Cleanup(func() {
		_, _ = unix.SysvShmCtl(s.shared, unix.IPC_RMID, nil) // the test may have removed some
		_, _ = sysvCall("", unix.SYS_SEMCTL, uintptr(s.semaphore), 0, unix.IPC_RMID)
		_, _ = sysvCall("", unix.SYS_MSGCTL, uintptr(s.message), unix.IPC_RMID, 0)
	})
	return m, s
}

func TestEachSystemVObjectTellsItsLoss(t *testing.T) {
	t.Parallel()
	m, s := withSysV(t)
	s.memory[0]++
	m.lost("sysv", "the shared memory has")

	m, s = withSysV(t)
	require.NoError(t, unix.SysvShmDetach(s.memory))
	_, err := unix.SysvShmCtl(s.shared, unix.IPC_RMID, nil)
	require.NoError(t, err)
	m.lost("sysv", "the shared memory")
	s.memory = make([]byte, sharedSize) // for the ticks that come

	m, s = withSysV(t)
	_, err = sysvCall("remove semaphore", unix.SYS_SEMCTL, uintptr(s.semaphore), 0, unix.IPC_RMID)
	require.NoError(t, err)
	m.lost("sysv", "the semaphore is lost")

	m, s = withSysV(t)
	s.value++
	s.memory[len(s.nonce)] = byte(s.number())
	m.lost("sysv", "the semaphore has the value")

	m, s = withSysV(t)
	require.NoError(t, s.queue.read(s.queue.oldest))
	m.lost("sysv", "the System V queue: record")
}

func TestASignalfdTellsALostSignal(t *testing.T) {
	t.Parallel()
	m, s := with[*signalfd](t, "signalfd")
	require.NoError(t, s.thread.do(func() error {
		_, err := unix.Read(s.fd, make([]byte, 128))
		return err
	}))
	m.lost("signalfd", "signal 46, which was to be read from the signalfd, is lost")

	m, s = with[*signalfd](t, "signalfd")
	breakDescriptor(t, s.fd)
	m.lost("signalfd", "signalfd")
}

func TestAnInotifyTellsALostWatch(t *testing.T) {
	t.Parallel()
	m, i := with[*inotify](t, "inotify")
	_, err := unix.InotifyRmWatch(i.fd, uint32(i.watch))
	require.NoError(t, err)
	m.lost("inotify", "the inotify tells of") // of the end of the watch

	m, i = with[*inotify](t, "inotify")
	require.NoError(t, os.RemoveAll(i.dir))
	m.lost("inotify", "make file to be told of")
}

func TestADescriptorThatWasOnItsWayIsMissed(t *testing.T) {
	t.Parallel()
	m, p := with[*passed](t, "passed")
	_, err := unix.Read(p.out, make([]byte, 1))
	require.NoError(t, err)
	m.lost("passed", "the descriptor that was on its way is lost")
}
