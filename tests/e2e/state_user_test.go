//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// A process that runs as another user than root does so after its restore, and the files that it has made are its own.
func TestRestoreUser(t *testing.T) {
	s := begin(t)
	s.Judges("another user than root")
	lacks, err := capabilities.HostLacksSysResource()
	s.Must(err, "see whether this machine has CAP_SYS_RESOURCE")
	// What the hosts of an existing cluster have cannot be asked: it may run on this machine.
	if lacks {
		s.Skip("this machine has no CAP_SYS_RESOURCE (bit 24 of CapBnd in /proc/self/status): without it CRIU cannot read the limits of " +
			"a process that is not root's (`Can't get rlimit`). Run it where the Docker engine's host has all capabilities")
	}
	const uid, gid = 1234, 5678
	p := s.Start(pods.Counter(s.CounterImage(), pods.User(uid, gid), pods.Groups(gid, 4001), pods.EmptyDir("data", "/data"),
		pods.OwnedBy(gid), pods.Env("COUNTER_LOG", "/data/log"), pods.Env("COUNTER_STATE", "/data/state"), pods.Env("COUNTER_KINDS", "process"),
		pods.Env("COUNTER_TREES", "volume:/data/tree")))
	r := s.CheckpointAndRestore(p)
	before := r.Counters[0].Before
	fixture.Equal(s, "the user id before the checkpoint", uid, before.UID)
	fixture.Equal(s, "the group id before the checkpoint", gid, before.GID)
	later := s.State(r.Pod, pods.CounterPort)
	for _, name := range []string{"process", "tree volume"} {
		s.Part(name, func(s *steps.Steps) { s.Kept(name, before, r.Now[0], later) })
	}
}

// A process that was stopped is stopped in the restored pod, and can be told to go on. Where that cannot be done the
// checkpoint is refused, and the pod goes on.
func TestRestoreStoppedProcess(t *testing.T) {
	s := begin(t)
	s.Judges("stopped process")
	p := s.Start(pods.Counter(s.CounterImage(), pods.Env("COUNTER_KINDS", "stopped")))
	before := s.Before(p, pods.CounterPort).Before
	fixture.Equal(s, "what is wrong with the stopped process before the checkpoint", "", before.Kinds["stopped"].Error)
	if s.CgroupV1(p) {
		err := s.System.Wait(s.Ctx, s.Ask(p, steps.CheckpointOptions{}))
		var failed *steps.FailedError
		if refused := errors.As(err, &failed) && strings.Contains(err.Error(), "stopped process"); err != nil && !refused {
			s.Unexpected("the checkpoint is taken, or refused because of the stopped process", fmt.Sprint(err))
		}
		s.Same(before, s.CountsOn(p, pods.CounterPort, before))
		if err != nil {
			s.Skip("the node has cgroups of version 1, where CRIU cannot dump a stopped process that is frozen: the checkpoint was refused and " +
				"the pod goes on. For the restore itself a node with cgroups of version 2 is needed")
		}
	}
	r := s.CheckpointAndRestore(p)
	s.Kept("stopped", r.Counters[0].Before, r.Now[0], s.State(r.Pod, pods.CounterPort))
}
