//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// A restored container is held to its limits as a fresh one is: its cgroup has the same memory, CPU, weight and number of
// processes, and what takes more memory than it may is killed for it, and nobody else.
func TestRestoreLimits(t *testing.T) {
	s := begin(t)
	s.Judges("limits that hold")
	limited := pods.Limits("500m", "96Mi")
	p := s.Start(pods.Counter(s.CounterImage(), limited, pods.Restart(corev1.RestartPolicyNever)))
	fresh := s.CgroupLimits(p)
	r := s.CheckpointAndRestore(p)
	for file, value := range s.CgroupLimits(r.Pod) {
		fixture.Equal(s, "the restored container's "+file, fresh[file], value)
	}
	// It answers only if it is not killed.
	answer, err := s.TryGet(s.Ctx, r.Pod, pods.CounterPort, "/grow", map[string]string{"mib": "192"})
	s.That(err != nil, "a restored container with a limit of 96 MiB is killed when it takes 192", string(answer))
	ended := s.Ended(r.Pod, "counter")
	fixture.Equal(s, "the reason of the restored container's end", "OOMKilled", ended.Reason)
	fixture.Equal(s, "its exit code", 137, int(ended.ExitCode))
}

// A process that may not use some system calls, by the runtime's own filter, may not after its restore.
func TestRestoreSeccomp(t *testing.T) {
	s := begin(t)
	s.Judges("seccomp profile RuntimeDefault")
	p := s.Start(pods.Counter(s.CounterImage(), pods.RuntimeDefaultSeccomp()))
	before := s.Confinement(p)
	fixture.Equal(s, "the process's seccomp mode before the checkpoint, 2 for a filter,", "2", before["Seccomp"])
	r := s.CheckpointAndRestore(p)
	fixture.Equal(s, "what confines the restored process", fmt.Sprint(before), fmt.Sprint(s.Confinement(r.Pod)))
}

// A process that AppArmor confines is confined by the same profile after its restore.
func TestRestoreAppArmor(t *testing.T) {
	s := begin(t)
	plain := s.Start(pods.Counter(s.CounterImage(), pods.Named("plain")))
	if s.AppArmorProfile(plain) == "unconfined" {
		s.Skip("needs a container runtime that gives pods an AppArmor profile: a cluster on machines with AppArmor on and apparmor_parser, which a k3d node has not")
	}
	s.Judges("AppArmor profile RuntimeDefault")
	p := s.Start(pods.Counter(s.CounterImage(), pods.RuntimeDefaultAppArmor()))
	before := s.AppArmorProfile(p)
	s.That(before != "unconfined", "AppArmor confines the process before the checkpoint", before)
	r := s.CheckpointAndRestore(p)
	fixture.Equal(s, "the AppArmor profile of the restored process", before, s.AppArmorProfile(r.Pod))
}
