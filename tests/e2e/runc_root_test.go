//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// A checkpoint for a runc root that is not containerd's ends in an error that says so: whoever gives the wrong one must
// not get a checkpoint of something else.
func TestCheckpointOfAnotherRuncRoot(t *testing.T) {
	s := begin(t)
	if !s.System.Can().RuntimeRoot {
		s.Skip("what a live propagator says of a wrong runc root is not documented: run with E2E_BACKEND=local")
	}
	p := s.Start(pods.Nginx(s.Env.ImageNginx))
	const root = "/run/no-runc-root"
	err := s.System.Wait(s.Ctx, s.Ask(p, steps.CheckpointOptions{RuntimeRoot: root}))
	var failed *steps.FailedError
	if !errors.As(err, &failed) {
		s.Unexpected("a checkpoint of pod "+p.Name+" with runc root "+root+" ends in error", fmt.Sprint(err))
	}
	s.That(strings.Contains(failed.Details, root), "the error of the action says why: it names the runc root "+root, fmt.Sprintf("details %q", failed.Details))
}
