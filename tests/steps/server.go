package steps

import (
	"context"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/stretch"
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
	// Server is nil where it is not ours to kill. Afterwards the Checkpointer bears with one that is down for a minute.
	Server(f *fixture.Fixture, m *nodes.Machines) Server
}

// Server implements HasServer: the local propagator is a container beside the nodes.
func (p *Propagator) Server(f *fixture.Fixture, m *nodes.Machines) Server {
	f.Helper()
	if !p.local {
		return nil
	}
	p.Client = newPropagator(f, p.Token, p.Transport, propagator.WithTotalTimeout(stretch.Limit(time.Minute))).Client
	return &propagatorServer{m, backend.Name(f.Env.ClusterName), p}
}

type propagatorServer struct {
	machines   *nodes.Machines
	name       string
	propagator *Propagator
}

func (s *propagatorServer) Kill(ctx context.Context) error { return s.machines.Kill(ctx, s.name) }

func (s *propagatorServer) Start(ctx context.Context) error { return s.machines.Start(ctx, s.name) }

func (s *propagatorServer) Ping(ctx context.Context) error {
	_, err := s.propagator.User(ctx)
	return err
}
