package main

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// openLoopback has a TCP connection of the process with itself, with bytes in it that nobody has read yet.
func openLoopback(_ config, nonce string) (kind, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }() // its connection lives on
	client, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer client.Close()
	server, err := listener.AcceptTCP()
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	defer server.Close()
	var fds [2]int
	for i, c := range []*net.TCPConn{client, server} {
		file, err := c.File()
		if err != nil {
			return nil, err
		}
		fds[i], err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
	q, err := newQueue("the TCP connection", nonce, fds[0], fds[1])
	return queues{q}, err
}
