package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// passed is the end of a pipe that nobody has open: it is on its way over a unix socket.
type passed struct {
	in, out int
	write   int
	nonce   string
	times   uint64
}

func openPassed(_ config, nonce string) (kind, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make sockets: %w", err)
	}
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p := &passed{in: pair[0], out: pair[1], write: pipe[1], nonce: nonce}
	return p, p.send(pipe[0])
}

// send sends a descriptor and closes it here.
func (p *passed) send(fd int) error {
	if err := unix.Sendmsg(p.in, []byte{1}, unix.UnixRights(fd), nil, 0); err != nil {
		return fmt.Errorf("send a descriptor: %w", err)
	}
	return unix.Close(fd)
}

// tick takes the descriptor, reads through it what is written to its other end, and sends it again.
func (p *passed) tick(uint64) error {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(p.out, make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return fmt.Errorf("the descriptor that was on its way is lost: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("the descriptor that was on its way is lost: %d control messages, %s", len(messages), fmt.Sprint(err))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("the descriptor that was on its way is lost: %d descriptors, %s", len(fds), fmt.Sprint(err))
	}
	if _, err := unix.Write(p.write, []byte(p.nonce)); err != nil {
		return fmt.Errorf("write to the pipe whose other end was on its way: %w", err)
	}
	got := make([]byte, len(p.nonce))
	if _, err := unix.Read(fds[0], got); err != nil || string(got) != p.nonce {
		return fmt.Errorf("the descriptor that was on its way gives %q, want %q: %s", got, p.nonce, fmt.Sprint(err))
	}
	p.times++
	return p.send(fds[0])
}

func (p *passed) check(k *report.Kind) error {
	k.Progress["passed"] = p.times
	return p.tick(0)
}
