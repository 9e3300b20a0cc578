package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

const (
	// timerInterval of the timers that fire again and again.
	timerInterval = 250 * time.Millisecond
	// timerPatience is how many counts a timer may keep still: 2 s, of time in which this process ran.
	timerPatience = 20
	// Real-time signals that neither the C library nor Go uses.
	intervalSignal = unix.Signal(45)
	onceSignal     = unix.Signal(46)
)

// timers are the kernel's: an alarm (setitimer) and a POSIX timer that fire again and again; and a POSIX timer and a
// timerfd that fire once, beside one of the Go runtime.
type timers struct {
	signals          chan os.Signal
	alarm, posix     atomic.Uint64
	id, onceID       int32
	onceFD           int
	count            atomic.Uint64
	last             [2]uint64
	stillSince       [2]uint64
	onceGo, onceSent atomic.Uint64
	onceTimer        *time.Timer
	onceRead         uint64
}

func openTimers(config, string) (kind, error) {
	t := &timers{signals: make(chan os.Signal, 64)}
	signal.Notify(t.signals, unix.SIGALRM, intervalSignal, onceSignal)
	go func() {
		for s := range t.signals {
			switch s {
			case unix.SIGALRM:
				t.alarm.Add(1)
			case intervalSignal:
				t.posix.Add(1)
			case onceSignal:
				t.onceSent.CompareAndSwap(0, max(t.count.Load(), 1))
			}
		}
	}()
	every := unix.ItimerSpec{Interval: unix.NsecToTimespec(int64(timerInterval)), Value: unix.NsecToTimespec(int64(timerInterval))}
	if _, err := unix.Setitimer(unix.ItimerReal, unix.Itimerval{
		Interval: unix.NsecToTimeval(int64(timerInterval)), Value: unix.NsecToTimeval(int64(timerInterval)),
	}); err != nil {
		return nil, fmt.Errorf("set alarm: %w", err)
	}
	var err error
	if t.id, err = createTimer(intervalSignal); err != nil {
		return nil, err
	}
	if t.onceID, err = createTimer(onceSignal); err != nil {
		return nil, err
	}
	if t.onceFD, err = newTimerfd(); err != nil {
		return nil, err
	}
	return t, setTimer(t.id, &every)
}

func newTimerfd() (int, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return 0, fmt.Errorf("make timerfd: %w", err)
	}
	return fd, nil
}

// sigevent is the kernel's, on 64-bit machines.
type sigevent struct {
	value         uint64
	signo, notify int32
	_             [48]byte
}

// createTimer makes a POSIX timer that sends a signal to the process.
func createTimer(s unix.Signal) (id int32, err error) {
	event := sigevent{signo: int32(s)} // SIGEV_SIGNAL is 0
	if _, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id))); errno != 0 {
		return 0, fmt.Errorf("make POSIX timer: %w", errno)
	}
	return id, nil
}

func setTimer(id int32, spec *unix.ItimerSpec) error {
	if _, _, errno := unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(spec)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("set POSIX timer: %w", errno)
	}
	return nil
}

// arm sets the timers that fire once, also anew: what they did before is forgotten.
func (t *timers) arm(after time.Duration) error {
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}
	if t.onceTimer != nil {
		t.onceTimer.Stop()
	}
	if _, err := expirations(t.onceFD); err != nil {
		return err
	}
	t.onceRead = 0
	t.onceSent.Store(0)
	t.onceGo.Store(0)
	t.onceTimer = time.AfterFunc(after, func() { t.onceGo.CompareAndSwap(0, max(t.count.Load(), 1)) })
	if err := setTimer(t.onceID, &once); err != nil {
		return err
	}
	return unix.TimerfdSettime(t.onceFD, 0, &once, nil)
}

// expirations of a timerfd since the last time.
func expirations(fd int) (uint64, error) {
	var b [8]byte
	if _, err := unix.Read(fd, b[:]); errors.Is(err, unix.EAGAIN) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("read timerfd: %w", err)
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}

func (t *timers) tick(count uint64) error {
	t.count.Store(count)
	once, err := expirations(t.onceFD)
	if err != nil {
		return err
	}
	if once > 0 && t.onceRead == 0 {
		t.onceRead = count
	}
	for i, fired := range t.fired() {
		if fired != t.last[i] || t.stillSince[i] == 0 {
			t.last[i], t.stillSince[i] = fired, count
		}
		if still := count - t.stillSince[i]; still > timerPatience {
			return fmt.Errorf("%s has not fired for %d counts of %s: its interval is %s", timerNames[i], still, interval, timerInterval)
		}
	}
	return nil
}

var timerNames = [2]string{"the alarm (setitimer)", "the POSIX timer"}

func (t *timers) fired() [2]uint64 { return [2]uint64{t.alarm.Load(), t.posix.Load()} }

// check tells of the timers that fire once at which count they did; 0 is not yet.
func (t *timers) check(k *report.Kind) error {
	for i, fired := range t.fired() {
		k.Progress[timerNames[i]] = fired
	}
	k.Once = map[string]uint64{"the POSIX timer": t.onceSent.Load(), "the timerfd": t.onceRead, "the Go runtime's timer": t.onceGo.Load()}
	return nil
}

// timerfd is one that fires again and again, and is read only when somebody asks: when a checkpoint is taken it has
// fired and not been read. CRIU 4.2 takes it then for one that is not set: the kernel shows no time left, and starts the
// next interval only when the timer is read.
type timerfd struct {
	fd    int
	fired uint64
}

const timerfdInterval = 20 * time.Millisecond

func openTimerfd(config, string) (kind, error) {
	fd, err := newTimerfd()
	if err != nil {
		return nil, err
	}
	every := unix.NsecToTimespec(int64(timerfdInterval))
	return &timerfd{fd: fd}, unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil)
}

func (t *timerfd) tick(uint64) error { return nil }

// check reads twice: what had fired before a checkpoint can be read after a restore that has lost the rest.
func (t *timerfd) check(k *report.Kind) error {
	for range 2 {
		n, err := expirations(t.fd)
		for deadline := time.Now().Add(time.Second); n == 0 && err == nil && time.Now().Before(deadline); n, err = expirations(t.fd) {
			time.Sleep(timerfdInterval / 2)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%s: its interval is %s", report.TimerfdStopped, timerfdInterval)
		}
		t.fired += n
	}
	k.Progress["fired"] = t.fired
	return nil
}
