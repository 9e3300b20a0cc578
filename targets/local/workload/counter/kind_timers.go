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

// timers are the kernel's: an alarm (setitimer), a POSIX timer and a timerfd, each firing again and again; and of the
// last two one more that fires once, beside one of the Go runtime.
type timers struct {
	signals          chan os.Signal
	alarm, posix     atomic.Uint64
	descriptor       uint64
	fd, onceFD       int
	onceID           int32
	count            atomic.Uint64
	last             [3]uint64
	stillSince       [3]uint64
	onceGo, onceSent atomic.Uint64
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
	id, err := createTimer(intervalSignal)
	if err != nil {
		return nil, err
	}
	if err := setTimer(id, &every); err != nil {
		return nil, err
	}
	if t.onceID, err = createTimer(onceSignal); err != nil {
		return nil, err
	}
	for _, fd := range []*int{&t.fd, &t.onceFD} {
		if *fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
			return nil, fmt.Errorf("make timerfd: %w", err)
		}
	}
	return t, unix.TimerfdSettime(t.fd, 0, &every, nil)
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

// arm sets the timers that fire once.
func (t *timers) arm(after time.Duration) error {
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}
	time.AfterFunc(after, func() { t.onceGo.CompareAndSwap(0, max(t.count.Load(), 1)) })
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
	n, err := expirations(t.fd)
	if err != nil {
		return err
	}
	t.descriptor += n
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

var timerNames = [3]string{"the alarm (setitimer)", "the POSIX timer", "the timerfd"}

func (t *timers) fired() [3]uint64 { return [3]uint64{t.alarm.Load(), t.posix.Load(), t.descriptor} }

// check tells of the timers that fire once at which count they did; 0 is not yet.
func (t *timers) check(k *report.Kind) error {
	for i, fired := range t.fired() {
		k.Progress[timerNames[i]] = fired
	}
	k.Once = map[string]uint64{"the POSIX timer": t.onceSent.Load(), "the timerfd": t.onceRead, "the Go runtime's timer": t.onceGo.Load()}
	return nil
}
