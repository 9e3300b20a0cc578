package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// events are descriptors of the kernel's own things: an eventfd with a value in it, and an epoll that waits for it.
type events struct {
	event, poll int
	value       uint64
}

// eventMark is what the epoll was told to say of the eventfd.
const eventMark = 0x5eed

func openEvents(config, string) (kind, error) {
	e := &events{value: 41}
	var err error
	if e.event, err = unix.Eventfd(uint(e.value), unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	if e.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make epoll: %w", err)
	}
	wanted := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(e.event), Pad: eventMark}
	return e, unix.EpollCtl(e.poll, unix.EPOLL_CTL_ADD, e.event, &wanted)
}

func (e *events) tick(uint64) error {
	e.value++
	return e.add(1)
}

func (e *events) add(n uint64) error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], n)
	if _, err := unix.Write(e.event, b[:]); err != nil {
		return fmt.Errorf("add to eventfd: %w", err)
	}
	return nil
}

func (e *events) check(k *report.Kind) error {
	k.Progress["eventfd"] = e.value
	got := make([]unix.EpollEvent, 4)
	n, err := unix.EpollWait(e.poll, got, 0)
	if err != nil {
		return fmt.Errorf("ask epoll: %w", err)
	}
	if n != 1 || got[0].Fd != int32(e.event) || got[0].Pad != eventMark {
		return fmt.Errorf("the epoll has lost what it waits for: it tells of %v", got[:max(n, 0)])
	}
	var b [8]byte
	if _, err := unix.Read(e.event, b[:]); errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("the eventfd has lost its value, which was %d", e.value)
	} else if err != nil {
		return fmt.Errorf("read eventfd: %w", err)
	}
	value := binary.NativeEndian.Uint64(b[:])
	if err := e.add(value); err != nil {
		return err
	}
	if value != e.value {
		return fmt.Errorf("the eventfd has the value %d, want %d", value, e.value)
	}
	return nil
}
