//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// A process that runs as another user than root does so after its restore, and the files that it has made are its own.
func TestRestoreUser(t *testing.T) {
	s := begin(t, environment.Full)
	lacks, err := capabilities.HostLacksSysResource()
	s.must(err, "see whether this machine has CAP_SYS_RESOURCE")
	// What the hosts of an existing cluster have cannot be asked: it may run on this machine.
	if lacks {
		s.Skip("this machine has no CAP_SYS_RESOURCE (bit 24 of CapBnd in /proc/self/status): without it CRIU cannot read the limits of " +
			"a process that is not root's (`Can't get rlimit`). Run it where the Docker engine's host has all capabilities")
	}
	const uid, gid = 1234, 5678
	p := s.start(pods.Counter(s.counterImage(), pods.User(uid, gid), pods.Groups(gid, 4001), pods.EmptyDir("data", "/data"),
		pods.OwnedBy(gid), pods.Env("COUNTER_LOG", "/data/log"), pods.Env("COUNTER_STATE", "/data/state"), pods.Env("COUNTER_KINDS", "process"),
		pods.Env("COUNTER_TREES", "volume:/data/tree")))
	m := s.before(p, pods.CounterPort)
	equal(s, "the user id before the checkpoint", uid, m.before.UID)
	equal(s, "the group id before the checkpoint", gid, m.before.GID)
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)
	r := s.restore(c)
	now := s.survived(r, m)
	s.settle(r)
	later := s.state(r.Pod, pods.CounterPort)
	for _, name := range []string{"process", "tree volume"} {
		s.sub(name, func(s *scene) { s.kept(name, m.before, now, later) })
	}
}

// A process that was stopped is stopped in the restored pod, and can be told to go on. Where that cannot be done the
// checkpoint is refused, and the pod goes on.
func TestRestoreStoppedProcess(t *testing.T) {
	s := begin(t, environment.Full)
	p := s.start(pods.Counter(s.counterImage(), pods.Env("COUNTER_KINDS", "stopped")))
	m := s.before(p, pods.CounterPort)
	equal(s, "what is wrong with the stopped process before the checkpoint", "", m.before.Kinds["stopped"].Error)
	if s.cgroupV1(p) {
		action, err := s.api.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{
			PodID: string(p.UID), PodName: p.Name, Namespace: p.Namespace, ClusterID: env.ClusterID,
			Kind: propagator.KindSimple, Reason: propagator.ReasonManual, RuncRoot: env.RuncRoot,
		})
		s.must(err, "ask for a checkpoint of pod %s", p.Name)
		s.facts.action = action
		s.actions = append(s.actions, action)
		s.Cleanup(func() {
			if !s.Skipped() {
				s.deprecate(action)
			}
		})
		_, err = s.api.Wait(s.ctx, action)
		var failed *propagator.ActionError
		if err != nil && !(errors.As(err, &failed) && strings.Contains(err.Error(), "stopped process")) {
			s.fail("the checkpoint is taken, or refused because of the stopped process", fmt.Sprint(err))
		}
		s.same(m.before, s.past(p, pods.CounterPort, m.before))
		if err != nil {
			s.Skip("the node has cgroups of version 1, where CRIU cannot dump a stopped process that is frozen: the checkpoint was refused and " +
				"the pod goes on. For the restore itself a node with cgroups of version 2 is needed")
		}
	}
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)
	r := s.restore(c)
	now := s.survived(r, m)
	s.settle(r)
	s.kept("stopped", m.before, now, s.state(r.Pod, pods.CounterPort))
}
