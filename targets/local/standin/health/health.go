// Package health serves the probes of the stand-in's pods.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Server answers GET /healthz as long as the process lives and GET /readyz with what it was told last.
type Server struct {
	address string

	mutex  sync.Mutex
	reason error
}

// New makes a server for an address that is not ready, for the given reason.
func New(address, reason string) *Server {
	return &Server{address: address, reason: errors.New(reason)}
}

// Ok makes it ready.
func (s *Server) Ok() { s.Fail(nil) }

// Fail makes it not ready, and says why to whoever asks.
func (s *Server) Fail(reason error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.reason = reason
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		_, _ = io.WriteString(w, "ok\n")
	case "/readyz":
		s.mutex.Lock()
		reason := s.reason
		s.mutex.Unlock()
		if reason != nil {
			http.Error(w, reason.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	default:
		http.NotFound(w, r)
	}
}

// Serve answers probes while work runs, and returns when it is done; a server that cannot listen ends both.
func (s *Server) Serve(ctx context.Context, work func(context.Context) error) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for probes: %w", err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve probes: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		defer func() { _ = server.Close() }()
		return work(ctx)
	})
	return group.Wait()
}
