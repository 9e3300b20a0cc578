package steps

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/nodes"
)

// Server is what a Checkpointer runs on, where a case may kill it.
type Server interface {
	// Kill ends it at once; Start brings it back. Ping asks it something.
	Kill(ctx context.Context) error
	Start(ctx context.Context) error
	Ping(ctx context.Context) error
}

// HasServer is a Checkpointer that may have a Server of ours.
type HasServer interface {
	// Server is nil where it is not ours to kill. Afterwards the Checkpointer follows it.
	Server(ctx context.Context, f *fixture.Fixture, m *nodes.Machines) (Server, error)
}

// Server implements HasServer: the local propagator is a container beside the nodes. Docker publishes it at another port
// after each start, so requests are sent where it then is.
func (p *Propagator) Server(ctx context.Context, f *fixture.Fixture, m *nodes.Machines) (Server, error) {
	if !p.local {
		return nil, nil
	}
	s := &propagatorServer{machines: m, name: backend.Name(f.Env.ClusterName), follow: &following{next: p.Transport}}
	if err := s.lookUp(ctx); err != nil {
		return nil, err
	}
	moved := newPropagator(f, p.Token, s.follow, propagator.WithTotalTimeout(time.Minute))
	p.Client, p.Transport = moved.Client, moved.Transport
	s.propagator = p
	return s, nil
}

type propagatorServer struct {
	machines   *nodes.Machines
	name       string
	follow     *following
	propagator *Propagator
}

func (s *propagatorServer) Kill(ctx context.Context) error { return s.machines.Kill(ctx, s.name) }

func (s *propagatorServer) Start(ctx context.Context) error {
	if err := s.machines.Start(ctx, s.name); err != nil {
		return err
	}
	return s.lookUp(ctx)
}

func (s *propagatorServer) Ping(ctx context.Context) error {
	_, err := s.propagator.User(ctx)
	return err
}

func (s *propagatorServer) lookUp(ctx context.Context) error {
	address, err := s.machines.Address(ctx, s.name, backend.Port)
	if err != nil {
		return fmt.Errorf("find the propagator: %w", err)
	}
	s.follow.host.Store(address)
	return nil
}

// following sends every request to the address that is the right one now.
type following struct {
	next http.RoundTripper
	host atomic.Value
}

func (f *following) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.Host = f.host.Load().(string)
	return f.next.RoundTrip(request)
}
