package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// signalfd is a descriptor that signals are read from, with one to be read. They are of one thread, which has them blocked.
type signalfd struct {
	thread *thread
	fd     int
	read   uint64
}

// readSignal is a real-time signal that neither the C library nor Go nor another kind uses.
const readSignal = unix.Signal(46)

func openSignalfd(config, string) (kind, error) {
	s := &signalfd{thread: startThread()}
	return s, s.thread.do(func() (err error) {
		set := maskOf(readSignal)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
			return fmt.Errorf("block signal: %w", err)
		}
		if s.fd, err = unix.Signalfd(-1, &set, unix.SFD_NONBLOCK|unix.SFD_CLOEXEC); err != nil {
			return fmt.Errorf("make signalfd: %w", err)
		}
		return s.send()
	})
}

func (s *signalfd) send() error {
	if err := unix.Tgkill(os.Getpid(), s.thread.id, readSignal); err != nil {
		return fmt.Errorf("send signal %d: %w", readSignal, err)
	}
	return nil
}

func (s *signalfd) tick(uint64) error {
	return s.thread.do(func() error {
		var info unix.SignalfdSiginfo
		n, err := unix.Read(s.fd, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info)))
		switch {
		case errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("signal %d, which was to be read from the signalfd, is lost", readSignal)
		case err != nil:
			return fmt.Errorf("read signalfd: %w", err)
		case info.Signo != uint32(readSignal):
			return fmt.Errorf("the signalfd has signal %d in %d bytes, want %d", info.Signo, n, readSignal)
		}
		s.read++
		return s.send()
	})
}

func (s *signalfd) check(k *report.Kind) error {
	k.Progress["read"] = s.read
	return s.tick(0)
}
