// Package propagatortest serves HTTP within a process: connections of the kernel's have no place in the bubble of
// testing/synctest, where tests of deadlines and leases run on a clock of their own.
package propagatortest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Address is any: what is sent to it arrives at the server that belongs to the transport.
const Address = "http://propagator"

// Serve serves until the test's end, and its last answer's. The transport takes every request to the server, whatever
// its address.
func Serve(t testing.TB, h http.Handler) *http.Transport {
	t.Helper()
	listener, transport := Listen()
	server := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("wait for the last answer: %v", err)
		}
		<-done
	})
	return transport
}

// Listen is for servers that take a listener.
func Listen() (net.Listener, *http.Transport) {
	l := &listener{dialled: make(chan net.Conn), closed: make(chan struct{})}
	return l, &http.Transport{DialContext: l.dial}
}

// listener accepts pipes. (Those of google.golang.org/grpc/test/bufconn may time out after their deadline was taken
// back, which net/http does after every request.)
type listener struct {
	dialled chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.dialled <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.dialled:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "pipe" }
func (address) String() string  { return "propagator" }
