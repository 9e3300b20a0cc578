package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// with is a counter that has one kind of state, which is whole.
func with[K kind](t *testing.T, name string) (*made, K) {
	t.Helper()
	m := newMade(t, config{Kinds: []string{name}, State: filepath.Join(t.TempDir(), "state")})
	m.ticks(2 * depth)
	require.Empty(t, m.state().Kinds[name].Error)
	return m, m.kind(name).(K)
}

func (m *made) kind(name string) kind {
	for _, p := range m.probes {
		if w, ok := p.(*watched); ok && w.name == name {
			return w.kind
		}
	}
	m.t.Fatalf("no kind %s", name)
	return nil
}

// lost checks that the loss of a kind is told, in these words, and does not make the counter unhealthy: a test is to
// read what is wrong, not to wait for a pod to be Ready.
func (m *made) lost(name, words string) {
	m.t.Helper()
	require.Contains(m.t, m.state().Kinds[name].Error, words)
	require.NoError(m.t, m.health())
}

func TestALossAtOneCountIsToldForEver(t *testing.T) {
	t.Parallel()
	m, e := with[*events](t, "events")
	var b [8]byte
	_, err := unix.Read(e.event, b[:])
	require.NoError(t, err)
	m.lost("events", "epoll has lost")
	e.value = 0
	m.ticks(1)
	require.Empty(t, m.state().Kinds["events"].Error, "what is only asked for is forgotten")

	d := &watched{name: "x", kind: &clock{read: func(int32) (int64, error) { return 5, nil }, last: map[string]int64{"the boot clock": 9}}}
	require.NoError(t, d.tick(3))
	s := &report.State{Kinds: map[string]report.Kind{}}
	require.NoError(t, d.tick(4))
	require.NoError(t, d.report(s))
	require.Contains(t, s.Kinds["x"].Error, "at count 3: the boot clock went back")
}

func TestAnUnknownKindIsNamed(t *testing.T) {
	t.Parallel()
	_, err := newCounter(config{Kinds: []string{"pipes", "dreams"}, State: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}, io.Discard)
	require.ErrorContains(t, err, `"dreams"`)
}

func TestDescriptorsTellALostOffset(t *testing.T) {
	t.Parallel()
	m, d := with[*descriptors](t, "descriptors")
	_, err := d.twin.Seek(7, io.SeekStart)
	require.NoError(t, err)
	m.lost("descriptors", "is at offset 7, want")
	m.ticks(1)
	m.lost("descriptors", "was read at another offset")
}

func TestDescriptorsTellThatADuplicateIsNone(t *testing.T) {
	t.Parallel()
	m, d := with[*descriptors](t, "descriptors")
	own, err := os.Open(d.read.Name())
	require.NoError(t, err)
	d.twin = own
	m.lost("descriptors", "its duplicate of")
}

func TestDescriptorsTellLostFlagsAndData(t *testing.T) {
	t.Parallel()
	m, d := with[*descriptors](t, "descriptors")
	_, err := unix.FcntlInt(d.append.Fd(), unix.F_SETFL, 0)
	require.NoError(t, err)
	m.lost("descriptors", "is open with flags")

	m, d = with[*descriptors](t, "descriptors")
	require.NoError(t, os.Truncate(d.append.Name(), 3))
	m.lost("descriptors", "has 3 bytes, want")

	m, d = with[*descriptors](t, "descriptors")
	replaced(t, d.read.Name())
	m.lost("descriptors", "is not the file that is held open")
}

func TestDeletedTellsWhenItsFileIsBackOrItsBytesAreGone(t *testing.T) {
	t.Parallel()
	m, d := with[*deleted](t, "deleted")
	require.NoError(t, os.WriteFile(d.path, nil, 0o600))
	m.lost("deleted", "was deleted and is there again")

	m, d = with[*deleted](t, "deleted")
	require.NoError(t, d.file.Truncate(5))
	m.lost("deleted", "has 5 bytes, want")

	m, d = with[*deleted](t, "deleted")
	_, err := d.file.WriteAt([]byte("?"), 3)
	require.NoError(t, err)
	m.lost("deleted", "has other content")

	m, d = with[*deleted](t, "deleted")
	_, err = d.file.Seek(0, io.SeekStart)
	require.NoError(t, err)
	m.lost("deleted", "descriptor is at 0")
}

func TestLocksTellWhenTheyAreLost(t *testing.T) {
	t.Parallel()
	m, l := with[*locks](t, "locks")
	require.NoError(t, unix.Flock(int(l.whole.Fd()), unix.LOCK_UN))
	m.lost("locks", "the lock (flock) of")

	m, l = with[*locks](t, "locks")
	require.NoError(t, unix.FcntlFlock(l.part.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Start: partStart, Len: partLength / 2}))
	m.lost("locks", "the lock (fcntl) of bytes 100 to 149")
}

func TestMappingsTellChangedBytesAndPrivateCopies(t *testing.T) {
	t.Parallel()
	m, s := with[*mappings](t, "mappings")
	require.GreaterOrEqual(t, len(s.all), 3)
	for _, a := range s.all {
		a.bytes[mappingSize/2] ^= 1
		m.lost("mappings", a.name+" has other bytes than at start")
		a.bytes[mappingSize/2] ^= 1
		if a.file == nil {
			continue
		}
		shared := a.bytes
		private, err := unix.Mmap(int(a.file.Fd()), 0, mappingSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		require.NoError(t, err)
		a.bytes = private
		m.ticks(1)
		m.lost("mappings", a.name+" has the number")
		a.bytes = shared
		m.ticks(1)
	}
	require.Empty(t, m.state().Kinds["mappings"].Error)
	require.NoError(t, unix.Mprotect(s.guard, unix.PROT_READ))
	m.lost("mappings", "a page without access can be read")
	for _, a := range s.all {
		if a.file != nil && filepath.Dir(a.file.Name()) == "/dev/shm" {
			require.NoError(t, os.Remove(a.file.Name()))
		}
	}
}

func TestQueuesTellLostAndChangedRecords(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"pipes": 2, "unix": 4} {
		for i := range n {
			m, qs := with[queues](t, name)
			require.Len(t, qs, n)
			for range depth {
				_, err := unix.Read(qs[i].out, make([]byte, recordSize))
				require.NoError(t, err)
			}
			m.lost(name, qs[i].name+": record")
			m.lost(name, "is lost: there is nothing to read")
			m.ticks(1)
			m.lost(name, "at count 17: "+qs[i].name)

			m, qs = with[queues](t, name)
			require.NoError(t, qs[i].read(qs[i].oldest))
			m.lost(name, "is lost or changed: read")

			m, qs = with[queues](t, name)
			if qs[i].in != qs[i].out {
				breakDescriptor(t, qs[i].in)
				m.ticks(1)
				m.lost(name, "bad file descriptor")
			}
		}
	}
}

// breakDescriptor takes a descriptor from its file and keeps its number: a number that is free is another test's next.
func breakDescriptor(t *testing.T, fd int) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC))
	require.NoError(t, null.Close())
}

func TestAQueueTellsBytesThatNobodyWrote(t *testing.T) {
	t.Parallel()
	m, qs := with[queues](t, "pipes")
	_, err := unix.Write(qs[0].in, []byte("more"))
	require.NoError(t, err)
	m.lost("pipes", "4 bytes more than were written to it")
}

func TestListenersTellWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	m, l := with[*listeners](t, "listeners")
	require.Len(t, l.all, 3)
	for _, listener := range l.all {
		m, l := with[*listeners](t, "listeners")
		for _, own := range l.all {
			if own.Addr().Network() == listener.Addr().Network() {
				address := own.Addr().String()
				require.NoError(t, own.Close())
				m.lost("listeners", "the listener at "+own.Addr().Network()+" "+address+" does not answer")
				break
			}
		}
	}
	require.NoError(t, l.udp.Close())
	m.lost("listeners", "closed network connection")
}

// A socket that another process listens at answers too, with something else.
func TestListenersTellAnotherAnswer(t *testing.T) {
	t.Parallel()
	m, l := with[*listeners](t, "listeners")
	address := l.all[1].Addr().String()
	require.NoError(t, l.all[1].Close())
	other, err := net.Listen("unix", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 64)
			n, _ := c.Read(b)
			clear(b[:n])
			_, _ = c.Write(b[:n])
		}
	}()
	m.lost("listeners", "does not answer: answer")
}

func TestEventsTellALostValueAndALostWait(t *testing.T) {
	t.Parallel()
	m, e := with[*events](t, "events")
	require.NoError(t, e.add(1))
	m.lost("events", "the eventfd has the value")

	m, e = with[*events](t, "events")
	require.NoError(t, unix.EpollCtl(e.poll, unix.EPOLL_CTL_DEL, e.event, nil))
	m.lost("events", "epoll has lost what it waits for")
}

func TestChildrenTellWhoIsGoneOrAnother(t *testing.T) {
	t.Parallel()
	m, c := with[*children](t, "children")
	t.Cleanup(func() { _ = c.parent.command.Process.Kill() })
	require.Len(t, c.tree, 2)
	require.NoError(t, c.parent.command.Process.Kill())
	_, err := c.parent.command.Process.Wait()
	require.NoError(t, err)
	m.ticks(1)
	m.lost("children", fmt.Sprintf("child %d (parent) does not", c.parent.command.Process.Pid))

	m, c = with[*children](t, "children")
	another, err := startChild(roleParent)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = c.parent.command.Process.Kill(), another.command.Process.Kill() })
	old := c.parent
	c.parent = another
	m.ticks(1)
	m.lost("children", fmt.Sprintf("the child was %d of %d", old.command.Process.Pid, os.Getpid()))
}

func TestChildrenTellALostGrandchildAndOneTooFew(t *testing.T) {
	t.Parallel()
	m, c := with[*children](t, "children")
	t.Cleanup(func() { _ = c.parent.command.Process.Kill() })
	c.asked--
	m.ticks(1)
	m.lost("children", "times, want")

	m, c = with[*children](t, "children")
	t.Cleanup(func() { _ = c.parent.command.Process.Kill() })
	c.tree["process 999999"] = "alive, child of 1"
	m.lost("children", "process 999999 is gone")
	delete(c.tree, "process 999999")
	var below, of int
	_, err := fmt.Sscanf(c.first[len(fmt.Sprintf("%d of %d, nonce 12345678901234567890123456; ", c.parent.command.Process.Pid, os.Getpid())):], "%d of %d", &below, &of)
	require.NoError(t, err, c.first)
	require.Equal(t, c.parent.command.Process.Pid, of)
	require.NoError(t, unix.Kill(below, unix.SIGKILL))
	require.Eventually(t, func() bool { _, state, err := processStat(below); return err == nil && state == "Z" }, 10*time.Second, time.Millisecond)
	tree, err := c.processes()
	require.NoError(t, err)
	require.ErrorContains(t, differ(c.tree, tree), "a zombie")
	m.ticks(1)
	m.lost("children", "child "+fmt.Sprint(below))
}

func TestStoppedTellsAChildThatRuns(t *testing.T) {
	t.Parallel()
	m, s := with[*stopped](t, "stopped")
	t.Cleanup(func() { _ = s.child.command.Process.Kill() })
	require.NoError(t, s.child.command.Process.Signal(unix.SIGCONT))
	require.Eventually(t, func() bool {
		_, state, err := processStat(s.child.command.Process.Pid)
		return err == nil && state != "T"
	}, 10*time.Second, time.Millisecond)
	m.lost("stopped", "which was stopped, is in state")
	require.NoError(t, s.stop())
	require.Empty(t, m.state().Kinds["stopped"].Error)
	require.NoError(t, s.child.command.Process.Kill())
	_, err := s.child.command.Process.Wait()
	require.NoError(t, err)
	m.lost("stopped", "look at stopped child")
}

func TestThreadsTellLostNamesAndPriorities(t *testing.T) {
	t.Parallel()
	m, ts := with[*threads](t, "threads")
	require.Len(t, ts.all, ownThreads)
	require.NoError(t, unix.Setpriority(unix.PRIO_PROCESS, ts.all[1].id, 19))
	m.lost("threads", "has the nice value 19, want 2")

	m, ts = with[*threads](t, "threads")
	require.NoError(t, ts.all[2].do(func() error {
		name := []byte("other\x00")
		return unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
	}))
	m.lost("threads", `is named "other", want "e2e-thread-2"`)

	m, ts = with[*threads](t, "threads")
	ts.all[0].id++
	m.lost("threads", "has the id")
}

func TestThreadsTellWhoDoesNothing(t *testing.T) {
	t.Parallel()
	m, ts := with[*threads](t, "threads")
	// As if the thread were gone: nobody takes its work.
	ts.all[3].work = make(chan func())
	m.ticks(1)
	m.lost("threads", fmt.Sprintf("at count 17: thread %d does nothing any more", ts.all[3].id))
}

// A child that is slow is not lost: what it says in pieces, with long pauses, is put together.
func TestAChildsAnswerIsWaitedForInSlices(t *testing.T) {
	t.Parallel()
	in, say, err := os.Pipe()
	require.NoError(t, err)
	c := &child{role: "slow", command: &exec.Cmd{Process: &os.Process{}}, in: discard{}, out: bufio.NewReader(in), file: in}
	go func() {
		for _, part := range []string{"1 of", " 2", "\n"} {
			time.Sleep(3 * slice)
			_, _ = say.WriteString(part)
		}
	}()
	said, err := c.ask()
	require.NoError(t, err)
	require.Equal(t, "1 of 2", said)
	_, err = c.ask()
	require.ErrorContains(t, err, "does not answer")
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }

func TestSignalsTellLostMasksAndPendingSignals(t *testing.T) {
	t.Parallel()
	m, s := with[*signals](t, "signals")
	require.NoError(t, s.thread.do(s.take))
	m.lost("signals", "signal 44 is not pending any more")

	m, s = with[*signals](t, "signals")
	require.NoError(t, s.thread.do(func() error {
		set := maskOf(blockedSignal)
		return unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
	}))
	m.lost("signals", "signal 12 is not blocked any more")

	_, s = with[*signals](t, "signals")
	require.NoError(t, s.thread.do(s.take))
	require.ErrorContains(t, s.thread.do(s.take), "signal 44, which was pending, is lost")
}

// Handlers belong to the whole process, so these are lost in one of its own.
func TestSignalsTellLostHandlers(t *testing.T) {
	t.Parallel()
	base := program(t, "signals")
	require.Empty(t, stateOf(t, base).Kinds["signals"].Error)
	require.ErrorContains(t, has("/proc/self/status", "SigIgn", unix.SIGCHLD), "signal 17 is not ignored any more")
	require.ErrorContains(t, has("/proc/self/status", "SigXyz", unix.SIGCHLD), "has no SigXyz")
}

func TestASignalThatIsNotHandledAnyMoreIsTold(t *testing.T) {
	if os.Getenv(asProgram+"_PART") == "" {
		// Alone in its process: it takes the handler away.
		t.Parallel()
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		command.Env = append(os.Environ(), asProgram+"_PART=1")
		output, err := command.CombinedOutput()
		require.NoError(t, err, string(output))
		require.Contains(t, string(output), "--- PASS: "+t.Name())
		return
	}
	s, err := openSignals(config{}, "")
	require.NoError(t, err)
	k := report.Kind{Progress: map[string]uint64{}}
	require.NoError(t, s.check(&k))
	signal.Ignore(handledSignal)
	require.ErrorContains(t, s.check(&k), "signal 10 is not handled any more")
	signal.Notify(make(chan os.Signal, 1), ignoredSignal)
	require.ErrorContains(t, s.check(&k), "signal 1 is not ignored any more")
}

// The alarm is not looked at: the tests have one between them.
func TestTimersTellWhichHasStopped(t *testing.T) {
	t.Parallel()
	m, timers := with[*timers](t, "timers")
	require.Eventually(t, func() bool {
		m.ticks(1)
		k := m.state().Kinds["timers"]
		require.Empty(t, k.Error)
		return k.Progress[timerNames[0]] >= 1 && k.Progress[timerNames[1]] >= 2
	}, 20*time.Second, interval)
	// Another timer's signal is the same signal: it is taken away, so that this process's other tests do not count.
	signal.Stop(timers.signals)
	m.ticks(1)
	m.ticks(timerPatience + 1)
	m.lost("timers", "has not fired for 21 counts")
}

func TestATimerfdThatHasStoppedIsTold(t *testing.T) {
	t.Parallel()
	m, fd := with[*timerfd](t, "timerfd")
	first := m.state().Kinds["timerfd"].Progress["fired"]
	require.Greater(t, m.state().Kinds["timerfd"].Progress["fired"], first)
	// What has fired already is there to be read; nothing comes after it.
	time.Sleep(2 * timerfdInterval)
	require.NoError(t, unix.TimerfdSettime(fd.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(1)}, nil))
	m.lost("timerfd", "the timerfd does not fire any more")
}

// Its name and priority are the process's, which kind "process" looks at.
func TestTheFirstThreadIsNobodysOwn(t *testing.T) {
	t.Parallel()
	for range 64 {
		if th := startThread(); th.id == os.Getpid() {
			t.Fatal("a goroutine has got the process's first thread for itself")
		}
	}
}

func TestTimersThatFireOnceTellWhen(t *testing.T) {
	t.Parallel()
	m, _ := with[*timers](t, "timers")
	for _, at := range m.state().Kinds["timers"].Once {
		require.Zero(t, at)
	}
	require.Len(t, m.state().Kinds["timers"].Once, 3)
	fire := func() {
		code, body := m.get("/arm?after=50ms")
		require.Equal(t, 200, code, body)
		require.Eventually(t, func() bool {
			m.ticks(1)
			for _, at := range m.state().Kinds["timers"].Once {
				if at == 0 {
					return false
				}
			}
			return true
		}, 20*time.Second, 20*time.Millisecond)
	}
	fire()
	code, body := m.get("/arm?after=1h")
	require.Equal(t, 200, code, body)
	m.ticks(1)
	for name, at := range m.state().Kinds["timers"].Once {
		require.Zero(t, at, "%s is set anew, and has not fired", name)
	}
	fire()
	code, _ = newMade(t, config{}).get("/arm?after=50ms")
	require.Equal(t, 500, code)
}

func TestAClockThatGoesBackIsTold(t *testing.T) {
	t.Parallel()
	m, c := with[*clock](t, "clock")
	c.read = func(id int32) (int64, error) {
		now, err := readClock(id)
		return now - int64(time.Hour), err
	}
	m.ticks(1)
	m.lost("clock", "clock went back, from")
}

// The process kind changes what the whole process has, so it is looked at from outside.
func TestTheProcessTellsALostLimit(t *testing.T) {
	t.Parallel()
	base := program(t, "process")
	s := stateOf(t, base)
	k := s.Kinds["process"]
	require.Empty(t, k.Error)
	require.Equal(t, "0027", k.Values["umask"])
	require.Contains(t, k.Values["working directory"], "/cwd")
	require.NoError(t, unix.Prlimit(s.PID, unix.RLIMIT_CORE, &unix.Rlimit{}, nil))
	require.Regexp(t, "limit of core size is 0 of 0, was", stateOf(t, base).Kinds["process"].Error)
}

func TestATreeTellsEveryChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm func(path func(string) string) error
		want string
	}{
		"a lost file":        {func(p func(string) string) error { return os.Remove(p("large")) }, `tree/large" is gone`},
		"a new file":         {func(p func(string) string) error { return os.WriteFile(p("new"), nil, 0o600) }, `tree/new" is there, and was not`},
		"a deleted file":     {func(p func(string) string) error { return os.WriteFile(p("deleted"), nil, 0o600) }, `tree/deleted" is there, and was not`},
		"other content":      {func(p func(string) string) error { return os.WriteFile(p("empty"), []byte("x"), 0) }, `tree/empty" is -rw-r-----`},
		"other permissions":  {func(p func(string) string) error { return os.Chmod(p("deep/deeper/file"), 0o600) }, `tree/deep/deeper/file" is -rw-------`},
		"a lost set-uid bit": {func(p func(string) string) error { return os.Chmod(p("runs as its owner"), 0o755) }, `was urwxr-xr-x`},
		"a directory's":      {func(p func(string) string) error { return os.Chmod(p("deep/empty"), 0o755) }, `tree/deep/empty" is drwxr-xr-x`},
		"another time":       {func(p func(string) string) error { return os.Chtimes(p("plain"), time.Now(), time.Now()) }, `was -rw-r--r--, of `},
		"another target": {func(p func(string) string) error {
			return again(p("link"), func(path string) error { return os.Symlink("large", path) })
		}, "to large"},
		"a copy for a link": {func(p func(string) string) error { return copied(p("plain"), p("deep/second name")) }, "the same file as"},
		"a pipe that is none": {func(p func(string) string) error {
			return again(p("fifo"), func(path string) error { return os.WriteFile(path, nil, 0o620) })
		}, "was prw--w----"},
		"a lost attribute": {func(p func(string) string) error { return unix.Removexattr(p("deep"), attribute) }, "attribute user.e2e=kept deep"},
		"a file for a directory": {func(p func(string) string) error {
			return again(p("deep/empty"), func(path string) error { return os.WriteFile(path, nil, 0o600) })
		}, "was drwx------"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "tree")
			m := newMade(t, config{Trees: map[string]string{"x": dir}})
			require.Empty(t, m.state().Kinds["tree x"].Error)
			if why := m.state().Kinds["tree x"].Values["no extended attributes"]; why != "" && name == "a lost attribute" {
				t.Skipf("the file system of %s has no extended attributes for users (%s): set TMPDIR to a directory of one that has, ext4 for one", dir, why)
			}
			require.NoError(t, c.harm(func(name string) string { return filepath.Join(dir, name) }))
			m.lost("tree x", c.want)
		})
	}
}

func again(path string, create func(string) error) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return create(path)
}

func copied(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return again(to, func(path string) error {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
}

func TestTheImagesFilesAreChangedAndStaySo(t *testing.T) {
	t.Parallel()
	fixtures := func() string {
		dir := filepath.Join(t.TempDir(), "image")
		for _, name := range report.ImageFiles {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
		}
		return dir
	}
	for back, want := range map[string]string{
		"deleted": `image/deleted" is there, and was not`, "directory/one": `image/directory/one" is there, and was not`,
		"gone/one": `image/gone" is there, and was not`, "moved": `image/moved" is there, and was not`,
		"changed": `image/changed" is `, "kept": `image/kept" is `,
	} {
		dir := fixtures()
		m := newMade(t, config{Image: dir})
		require.Empty(t, m.state().Kinds["image"].Error)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, back)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, back), []byte("as in the image"), 0o644))
		m.lost("image", want)
	}
	_, err := newCounter(config{Image: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}, io.Discard)
	require.ErrorContains(t, err, "no such file", "an image without the files proves nothing")
}

// program runs the counter as a process of its own, with one kind of state, and returns where it answers.
func program(t *testing.T, kind string) string {
	t.Helper()
	port, base := freePort(t)
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), asProgram+"=1", "PORT="+port, "COUNTER_KINDS="+kind,
		"COUNTER_LOG="+filepath.Join(t.TempDir(), "log"), "COUNTER_STATE="+filepath.Join(t.TempDir(), "state"))
	command.Stderr = os.Stderr
	require.NoError(t, command.Start())
	t.Cleanup(func() { _, _ = command.Process.Kill(), command.Wait() })
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return ask(ctx, base+"/healthz", nil) == nil
	}, 10*time.Second, 20*time.Millisecond)
	return base
}

func stateOf(t *testing.T, base string) report.State {
	t.Helper()
	var s report.State
	require.NoError(t, ask(t.Context(), base+"/state", &s))
	return s
}
