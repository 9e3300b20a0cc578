//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// kernelObject is a kind of state that CRIU may refuse to dump, so that it has a pod of its own.
type kernelObject struct {
	kind string
	// refused is a pattern of the reason for which a checkpoint is refused, lost one of what is wrong after a restore; empty
	// for what is kept. Each is in docs/state.md.
	refused, lost string
}

var kernelObjects = []kernelObject{
	{kind: "pty"}, {kind: "sysv"}, {kind: "signalfd"}, {kind: "passed"},
	{kind: "mqueue", refused: `Can't lookup mount.* POSIX message queue`},
	{kind: "inotify", refused: `Can't dump that handle.* inotify`},
	{kind: "loopback", lost: `the TCP connection: its other end is closed`},
}

// A process has one of the kernel's rarer objects: it is kept, or the checkpoint is refused by its name and the process goes
// on, or it is lost in the way that is known. None is lost in silence.
func TestRestoreKernelObjects(t *testing.T) {
	t.Parallel()
	for _, o := range kernelObjects {
		t.Run(o.kind, func(t *testing.T) { restoreObject(begin(t), o) })
	}
}

func restoreObject(s *steps.Steps, o kernelObject) {
	s.Helper()
	s.Judges(o.kind)
	p := s.Start(pods.Counter(s.CounterImage(), pods.Env("COUNTER_KINDS", o.kind)))
	before := s.Before(p, pods.CounterPort).Before
	fixture.Equal(s, "what is wrong with the object before the checkpoint", "", before.Kinds[o.kind].Error)
	if o.refused != "" {
		err := s.System.Wait(s.Ctx, s.Ask(p, steps.CheckpointOptions{}))
		var failed *steps.FailedError
		if errors.As(err, &failed) {
			s.That(regexp.MustCompile(o.refused).MatchString(failed.Details), "the refusal of the checkpoint names the cause: "+o.refused, failed.Details)
			now := s.CountsOn(p, pods.CounterPort, before)
			s.Same(before, now)
			fixture.Equal(s, "what is wrong with the object after the refusal", "", now.Kinds[o.kind].Error)
			s.Skipf("the checkpoint is refused, and the source goes on: %s", failed.Details)
		}
		s.That(err == nil, "the checkpoint is taken, or refused", fmt.Sprint(err))
	}
	r := s.CheckpointAndRestore(p, steps.SteadyFor(0))
	err := checks.Kept(o.kind, r.Counters[0].Before, r.Now[0], s.CountsOn(r.Pod, pods.CounterPort, r.Now[0]))
	if err != nil && o.lost != "" && regexp.MustCompile(o.lost).MatchString(err.Error()) {
		s.Skipf("it is lost, and its process is told: %v", err)
	}
	s.Check(err)
}
