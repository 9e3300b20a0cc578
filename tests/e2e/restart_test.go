//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/nodes"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// A checkpoint outlives the server that took it: killed and started again, that lists the checkpoint's action as it did,
// and restores from it.
func TestRestartKeepsActions(t *testing.T) {
	s := beginAlone(t) // the others would find it dead
	has, ok := s.System.(steps.HasServer)
	if !ok || s.Env.ClusterName == "" {
		t.Skip("kills the propagator, which it does to the local one alone, beside a k3d cluster (E2E_BACKEND=local, E2E_CLUSTER=k3d)")
	}
	n, err := nodes.Connect(s.Ctx, s.Kube, s.Env.ClusterName, s.Env.CedanaNamespace)
	s.Must(err, "reach the machines")
	server := has.Server(s.Fixture, n.Machines)
	if server == nil {
		t.Skip("kills the propagator, and this one is Cedana's: run with E2E_BACKEND=local")
	}
	p := s.Start(pods.Counter(s.CounterImage()))
	c, counters := s.CheckpointCounters(p)

	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.Ctx), nodes.Settle)
		defer cancel()
		if err := server.Start(ctx); err != nil {
			s.Errorf("start the propagator: %v", err)
		}
	})
	s.Must(server.Kill(s.Ctx), "kill the propagator")
	s.Must(server.Start(s.Ctx), "start the propagator")
	err = wait.For(s.Ctx, "the propagator to answer", fixture.Soon, func(ctx context.Context) (bool, string, error) {
		err := server.Ping(ctx)
		return err == nil, fmt.Sprint(err), nil
	})
	s.Must(err, "ask the propagator who the token belongs to")
	s.Known(c)
	s.Remove(p)
	r, _ := s.RestoreCounters(c, counters)
	s.Settle(r)
}
