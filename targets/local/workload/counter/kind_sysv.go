package main

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// sysv is one of each of the kernel's System V objects: a segment of shared memory, a semaphore, a queue of messages. They
// are the IPC namespace's, which is the pod's, and known by their ids alone.
type sysv struct {
	shared, semaphore, message int
	memory                     []byte
	value                      uint64
	nonce                      string
	queue                      *queue
}

const (
	sharedSize = 64 << 10
	// messageSize is small: a queue takes 16 KiB in all (kernel.msgmnb).
	messageSize = 1 << 10
	// The commands of semctl, which package unix does not have.
	semGetValue, semSetValue = 12, 16
)

// letter is the kernel's struct msgbuf.
type letter struct {
	kind int64
	text [messageSize]byte
}

func openSysV(_ config, nonce string) (kind, error) {
	s := &sysv{value: 7, nonce: nonce}
	var err error
	if s.shared, err = unix.SysvShmGet(unix.IPC_PRIVATE, sharedSize, unix.IPC_CREAT|0o600); err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	if s.memory, err = unix.SysvShmAttach(s.shared, 0, 0); err != nil {
		return nil, fmt.Errorf("attach shared memory: %w", err)
	}
	copy(s.memory, nonce)
	if s.semaphore, err = sysvCall("make semaphore", unix.SYS_SEMGET, unix.IPC_PRIVATE, 1, unix.IPC_CREAT|0o600); err != nil {
		return nil, err
	}
	if s.message, err = sysvCall("make queue of messages", unix.SYS_MSGGET, unix.IPC_PRIVATE, unix.IPC_CREAT|0o600, 0); err != nil {
		return nil, err
	}
	s.queue = &queue{name: "the System V queue", nonce: nonce, size: messageSize, put: s.send, get: s.receive}
	if err := s.queue.fill(); err != nil {
		return nil, err
	}
	return s, s.tick(0)
}

func sysvCall(what string, number, a, b, c uintptr) (int, error) {
	n, _, errno := unix.Syscall(number, a, b, c)
	if errno != 0 {
		return 0, fmt.Errorf("%s: %w", what, errno)
	}
	return int(n), nil
}

func (s *sysv) send(b []byte) (int, error) {
	l := letter{kind: 1}
	copy(l.text[:], b)
	_, _, errno := unix.Syscall6(unix.SYS_MSGSND, uintptr(s.message), uintptr(unsafe.Pointer(&l)), uintptr(len(b)), unix.IPC_NOWAIT, 0, 0)
	runtime.KeepAlive(&l)
	if errno != 0 {
		return 0, errno
	}
	return len(b), nil
}

func (s *sysv) receive(b []byte) (int, error) {
	var l letter
	n, _, errno := unix.Syscall6(unix.SYS_MSGRCV, uintptr(s.message), uintptr(unsafe.Pointer(&l)), uintptr(len(b)), 0, unix.IPC_NOWAIT, 0)
	if errno == unix.ENOMSG {
		errno = unix.EAGAIN
	}
	if errno != 0 {
		return 0, errno
	}
	return copy(b, l.text[:n]), nil
}

// number is the one that the memory and the semaphore have at a count; a semaphore has at most 32767.
func (s *sysv) number() uint64 { return s.value % 30000 }

func (s *sysv) tick(count uint64) error {
	if count > 0 {
		if err := s.queue.tick(count); err != nil {
			return err
		}
	}
	s.value++
	s.memory[len(s.nonce)] = byte(s.number())
	_, _, errno := unix.Syscall6(unix.SYS_SEMCTL, uintptr(s.semaphore), 0, semSetValue, uintptr(s.number()), 0, 0)
	if errno != 0 {
		return fmt.Errorf("set semaphore: %w", errno)
	}
	return nil
}

func (s *sysv) check(k *report.Kind) error {
	k.Progress["semaphore"] = s.value
	// Attached anew: what is mapped may live on when the object, by its id, is lost.
	again, err := unix.SysvShmAttach(s.shared, 0, unix.SHM_RDONLY)
	if err != nil {
		return fmt.Errorf("the shared memory %d is lost: %w", s.shared, err)
	}
	content, number := string(again[:len(s.nonce)]), again[len(s.nonce)]
	if err := unix.SysvShmDetach(again); err != nil {
		return fmt.Errorf("detach shared memory: %w", err)
	}
	if content != s.nonce || number != byte(s.number()) {
		return fmt.Errorf("the shared memory has %q and %d, want %q and %d", content, number, s.nonce, byte(s.number()))
	}
	value, err := sysvCall("the semaphore is lost", unix.SYS_SEMCTL, uintptr(s.semaphore), 0, semGetValue)
	if err != nil {
		return err
	}
	if uint64(value) != s.number() {
		return fmt.Errorf("the semaphore has the value %d, want %d", value, s.number())
	}
	return s.queue.check()
}
