//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// A checkpoint for a runc root that is not containerd's ends in an error that says so: whoever gives the wrong one must
// not get a checkpoint of something else.
func TestCheckpointOfAnotherRuncRoot(t *testing.T) {
	s := begin(t, environment.Full)
	if env.Backend != settings.BackendLocal {
		s.Skip("what a live propagator says of a wrong runc root is not documented: run with E2E_BACKEND=local")
	}
	p := s.start(pods.Nginx(env.ImageNginx))
	const root = "/run/no-runc-root"
	action, err := s.api.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{
		PodID: string(p.UID), PodName: p.Name, Namespace: p.Namespace, ClusterID: env.ClusterID,
		Kind: propagator.KindSimple, Reason: propagator.ReasonManual, RuncRoot: root,
	})
	s.must(err, "ask for a checkpoint of pod %s with runc root %s", p.Name, root)
	s.facts.action = action
	s.actions = append(s.actions, action)
	_, err = s.api.Wait(s.ctx, action)
	var failed *propagator.ActionError
	if !errors.As(err, &failed) {
		s.fail("a checkpoint of pod "+p.Name+" with runc root "+root+" ends in error", fmt.Sprint(err))
	}
	s.that(strings.Contains(failed.Details, root), "the error of the action says why: it names the runc root "+root, fmt.Sprintf("details %q", failed.Details))
}
