package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// signals are one that is handled, one that is ignored, and two that a thread has blocked: one of these is pending, with
// a value.
type signals struct {
	thread  *thread
	handled chan os.Signal
	got     uint64
}

const (
	handledSignal = unix.SIGUSR1
	ignoredSignal = unix.SIGHUP
	blockedSignal = unix.SIGUSR2
	// pendingSignal is a real-time signal that neither the C library nor Go uses.
	pendingSignal = unix.Signal(44)
	pendingValue  = 0x5eed1234
)

func openSignals(config, string) (kind, error) {
	s := &signals{thread: startThread(), handled: make(chan os.Signal, 1)}
	signal.Notify(s.handled, handledSignal)
	signal.Ignore(ignoredSignal)
	return s, s.thread.do(func() error {
		set := maskOf(blockedSignal, pendingSignal)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
			return fmt.Errorf("block signals: %w", err)
		}
		return s.queue()
	})
}

func maskOf(list ...unix.Signal) (set unix.Sigset_t) {
	for _, n := range list {
		set.Val[0] |= 1 << (n - 1)
	}
	return set
}

// siginfo is the kernel's siginfo_t on 64-bit machines, for a signal with a value.
type siginfo struct {
	signo, errno, code, _ int32
	pid, uid              int32
	value                 uint64
	_                     [96]byte
}

const siQueue = -1 // SI_QUEUE

// queue sends the pending signal to this thread.
func (s *signals) queue() error {
	info := siginfo{signo: int32(pendingSignal), code: siQueue, pid: int32(os.Getpid()), uid: int32(os.Getuid()), value: pendingValue}
	_, _, errno := unix.Syscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getpid()), uintptr(s.thread.id), uintptr(pendingSignal),
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("send signal %d: %w", pendingSignal, errno)
	}
	return nil
}

// take takes the pending signal, and fails when there is none.
func (s *signals) take() error {
	set := maskOf(pendingSignal)
	var info siginfo
	var none unix.Timespec
	_, _, errno := unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), uintptr(unsafe.Pointer(&info)),
		uintptr(unsafe.Pointer(&none)), unsafe.Sizeof(set.Val[0]), 0, 0)
	switch {
	case errno == unix.EAGAIN:
		return fmt.Errorf("signal %d, which was pending, is lost", pendingSignal)
	case errno != 0:
		return fmt.Errorf("take signal %d: %w", pendingSignal, errno)
	case info.value != pendingValue:
		return fmt.Errorf("signal %d is pending with the value %#x, want %#x", pendingSignal, info.value, pendingValue)
	}
	return nil
}

func (s *signals) tick(uint64) error { return nil }

func (s *signals) check(k *report.Kind) error {
	return errors.Join(
		s.thread.do(func() error {
			for name, signals := range map[string][]unix.Signal{"SigBlk": {blockedSignal, pendingSignal}, "SigPnd": {pendingSignal}} {
				if err := has(fmt.Sprintf("/proc/self/task/%d/status", s.thread.id), name, signals...); err != nil {
					return err
				}
			}
			if err := s.take(); err != nil {
				return err
			}
			return s.queue()
		}),
		has("/proc/self/status", "SigIgn", ignoredSignal),
		has("/proc/self/status", "SigCgt", handledSignal),
		s.handle(k),
	)
}

// handle sends the signal that is handled.
func (s *signals) handle(k *report.Kind) error {
	if err := unix.Kill(os.Getpid(), handledSignal); err != nil {
		return err
	}
	select {
	case <-s.handled:
		s.got++
		k.Progress["handled"] = s.got
		return nil
	case <-time.After(answerTimeout):
		return fmt.Errorf("signal %d is not handled any more", handledSignal)
	}
}

var maskWords = map[string]string{"SigBlk": "blocked", "SigPnd": "pending", "SigIgn": "ignored", "SigCgt": "handled"}

// has checks that a mask in a status file has the signals.
func has(path, name string, list ...unix.Signal) error {
	status, err := os.Open(path)
	if err != nil {
		return err
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		hex, ok := strings.CutPrefix(lines.Text(), name+":")
		if !ok {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			return err
		}
		for _, n := range list {
			if mask&(1<<(n-1)) == 0 {
				return fmt.Errorf("signal %d is not %s any more (%s is %#x)", n, maskWords[name], name, mask)
			}
		}
		return nil
	}
	return fmt.Errorf("%s has no %s", path, name)
}
