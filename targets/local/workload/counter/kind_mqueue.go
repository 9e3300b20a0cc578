package main

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mqAttributes is the kernel's struct mq_attr.
type mqAttributes struct {
	flags, most, size, now int64
	_                      [4]int64
}

// openMqueue has a POSIX queue of messages with some that nobody has received yet. Its name is gone.
func openMqueue(_ config, nonce string) (kind, error) {
	name, err := unix.BytePtrFromString("counter")
	if err != nil {
		return nil, err
	}
	how := mqAttributes{most: depth + 1, size: messageSize}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NONBLOCK|unix.O_CLOEXEC,
		0o600, uintptr(unsafe.Pointer(&how)), 0, 0)
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0)
	}
	runtime.KeepAlive(name)
	if errno != 0 {
		return nil, fmt.Errorf("make POSIX queue: %w", errno)
	}
	call := func(number uintptr, b []byte) (int, error) {
		n, _, errno := unix.Syscall6(number, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
	q := &queue{
		name: "the POSIX queue", nonce: nonce, size: messageSize, in: int(fd), out: int(fd),
		put: func(b []byte) (int, error) {
			if _, err := call(unix.SYS_MQ_TIMEDSEND, b); err != nil {
				return 0, err
			}
			return len(b), nil
		},
		get: func(b []byte) (int, error) { return call(unix.SYS_MQ_TIMEDRECEIVE, b) },
	}
	return queues{q}, q.fill()
}
