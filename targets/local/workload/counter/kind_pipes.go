package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

const (
	// depth is how many records lie unread in a queue. Sockets of datagrams may refuse more than 10 (net.unix.max_dgram_qlen).
	depth = 8
	// recordSize in bytes: together they are more than a page and less than a pipe.
	recordSize = 4 << 10
)

// queue is something with two ends that the kernel keeps bytes between. At every count a record goes in and the oldest
// comes out.
type queue struct {
	name, nonce string
	// size of a record in bytes.
	size   int
	oldest uint64
	// put and get do not wait: where there is no room, and nothing to get, they fail with EAGAIN.
	put, get func([]byte) (int, error)
	// descriptors of its ends, where it has some.
	in, out int
}

func newQueue(name, nonce string, in, out int) (*queue, error) {
	return sizedQueue(name, nonce, in, out, recordSize)
}

func sizedQueue(name, nonce string, in, out, size int) (*queue, error) {
	for _, fd := range []int{in, out} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	q := &queue{
		name: name, nonce: nonce, size: size, in: in, out: out,
		put: func(b []byte) (int, error) { return unix.Write(in, b) },
		get: func(b []byte) (int, error) { return unix.Read(out, b) },
	}
	return q, q.fill()
}

func (q *queue) fill() error {
	for n := range uint64(depth) {
		if err := q.write(q.oldest + n); err != nil {
			return err
		}
	}
	return nil
}

func (q *queue) record(n uint64) []byte {
	head := fmt.Sprintf("%d %s %s\n", n, q.nonce, q.name)
	return []byte(strings.Repeat(head, q.size/len(head)+1)[:q.size])
}

func (q *queue) write(n uint64) error {
	if wrote, err := q.put(q.record(n)); err != nil || wrote != q.size {
		return fmt.Errorf("%s: write record %d: %d of %d bytes, %s", q.name, n, wrote, q.size, fmt.Sprint(err))
	}
	return nil
}

func (q *queue) read(n uint64) error {
	got := make([]byte, q.size)
	read, err := q.get(got)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%s: record %d, which was unread, is lost: there is nothing to read", q.name, n)
	case err != nil:
		return fmt.Errorf("%s: read record %d: %w", q.name, n, err)
	case read == 0:
		return fmt.Errorf("%s: its other end is closed", q.name)
	case !bytes.Equal(got[:read], q.record(n)):
		return fmt.Errorf("%s: record %d is lost or changed: read %.60q", q.name, n, got[:read])
	}
	return nil
}

func (q *queue) tick(uint64) error {
	if err := q.read(q.oldest); err != nil {
		return err
	}
	q.oldest++
	return q.write(q.oldest + depth - 1)
}

// check takes all records out and puts them in again.
func (q *queue) check() error {
	for n := range uint64(depth) {
		if err := q.read(q.oldest + n); err != nil {
			return err
		}
	}
	if n, err := q.get(make([]byte, q.size)); !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("%s: %d bytes more than were written to it (%s)", q.name, n, fmt.Sprint(err))
	}
	return q.fill()
}

type queues []*queue

func (qs queues) tick(count uint64) error {
	for _, q := range qs {
		if err := q.tick(count); err != nil {
			return err
		}
	}
	return nil
}

func (qs queues) check(k *report.Kind) error {
	for _, q := range qs {
		k.Progress["records of "+q.name] = q.oldest
		if err := q.check(); err != nil {
			return err
		}
	}
	return nil
}

// openPipes has a pipe, and a pipe with a name, with bytes in them that nobody has read yet.
func openPipes(c config, nonce string) (kind, error) {
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	path := c.state("fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("make named pipe: %w", err)
	}
	// Both ways first, or the other openings would wait for each other.
	named, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open named pipe: %w", err)
	}
	a, err := newQueue("the pipe", nonce, pipe[1], pipe[0])
	if err != nil {
		return nil, err
	}
	b, err := newQueue("the named pipe", nonce, named, named)
	return queues{a, b}, err
}

// openUnix has unix sockets that are connected to each other, with bytes in them that nobody has read yet.
func openUnix(c config, nonce string) (kind, error) {
	var qs queues
	for name, typ := range map[string]int{
		"the pair of stream sockets": unix.SOCK_STREAM, "the pair of datagram sockets": unix.SOCK_DGRAM, "the pair of packet sockets": unix.SOCK_SEQPACKET,
	} {
		pair, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
		q, err := newQueue(name, nonce, pair[0], pair[1])
		if err != nil {
			return nil, err
		}
		qs = append(qs, q)
	}
	client, server, err := connected(c.state("connected"))
	if err != nil {
		return nil, fmt.Errorf("connect unix socket: %w", err)
	}
	q, err := newQueue("the connected unix socket", nonce, client, server)
	return append(qs, q), err
}

// connected are the two ends of a connection through a socket in the file system.
func connected(path string) (client, server int, err error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return 0, 0, err
	}
	defer listener.Close()
	dialed, err := net.DialUnix("unix", nil, listener.Addr().(*net.UnixAddr))
	if err != nil {
		return 0, 0, err
	}
	defer dialed.Close()
	accepted, err := listener.AcceptUnix()
	if err != nil {
		return 0, 0, err
	}
	defer accepted.Close()
	var fds [2]int
	for i, c := range []*net.UnixConn{dialed, accepted} {
		file, err := c.File()
		if err != nil {
			return 0, 0, err
		}
		fds[i], err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err := errors.Join(err, file.Close()); err != nil {
			return 0, 0, err
		}
	}
	// The name goes with the listener; a restore must not need it.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, 0, err
	}
	return fds[0], fds[1], nil
}
