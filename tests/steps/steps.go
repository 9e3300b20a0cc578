// Package steps is what cases do: start a pod, checkpoint it, delete it, restore it, each with the checks that belong to
// it. CheckpointAndRestore is all of that in one.
package steps

import (
	"context"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
)

// Steps are those of one case. They have its fixture and its checks.
type Steps struct {
	*checks.Checks
	// System checkpoints and restores.
	System Checkpointer
	// AnyNode lets pods be on the node that is reserved for another case.
	AnyNode bool

	*history
}

// history is what the case has done so far.
type history struct {
	mu sync.Mutex
	// operations are all that the case started, checkpoints the IDs of all that they made.
	operations  []Operation
	checkpoints []string
	// origins has, for each pod, the pod as the case made it from which it descends.
	origins map[types.UID]*corev1.Pod
}

// New are the steps of a case, done with a Checkpointer.
func New(f *fixture.Fixture, system Checkpointer) *Steps {
	s := &Steps{Checks: checks.New(f), System: system, history: &history{origins: map[types.UID]*corev1.Pod{}}}
	if k, ok := system.(keeper); ok {
		f.OnFailure(func(ctx context.Context) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return k.keep(ctx, f, slices.Clone(s.operations), slices.Clone(s.checkpoints))
		})
	}
	return s
}

// Kind is Part for one that judges a kind of state, by its name.
func (s *Steps) Kind(name string, judge func(*Steps)) {
	s.Helper()
	s.Part(name, func(s *Steps) {
		s.Judges(name)
		judge(s)
	})
}

// keeper is a Checkpointer that keeps what it knows of operations when a case has failed.
type keeper interface {
	keep(ctx context.Context, f *fixture.Fixture, operations []Operation, checkpoints []string) error
}

// Part runs a part of a case under a name of its own, with what the case knows so far. A part that fails does not keep
// the others from being run.
func (s *Steps) Part(name string, do func(*Steps)) {
	s.Helper()
	s.Run(name, func(t *testing.T) {
		part := *s
		part.Checks = s.Checks.Part(s.Fixture.Part(t))
		do(&part)
	})
}

// Began notes an operation, for the artifacts of a failure.
func (s *Steps) Began(o Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.operations = append(s.operations, o)
}

func (s *Steps) made(checkpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkpoints = append(s.checkpoints, checkpoint)
}

func (s *Steps) descends(p *corev1.Pod, origin *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origins[p.UID] = origin
}

func (s *Steps) origin(p *corev1.Pod) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.origins[p.UID]
}
