package steps

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// Option changes what CheckpointAndRestore does.
type Option func(*cycle)

type cycle struct {
	afterCheckpoint func(*Checkpoint)
	remove          func(*corev1.Pod)
	beforeRestore   func()
	steady          time.Duration
}

// AfterCheckpoint is done when the checkpoint is ready and the original has gone on, before that is removed.
func AfterCheckpoint(do func(*Checkpoint)) Option {
	return func(c *cycle) { c.afterCheckpoint = do }
}

// RemovedBy takes the place of the original's deletion: its node is lost, its controller wants it no more. The pod has to
// be gone afterwards.
func RemovedBy(remove func(*corev1.Pod)) Option { return func(c *cycle) { c.remove = remove } }

// BeforeRestore is done when the original is gone.
func BeforeRestore(do func()) Option { return func(c *cycle) { c.beforeRestore = do } }

// SteadyFor is how long the restored pod has to stay Ready, in place of 5 s. With 0 it must have been until now.
func SteadyFor(long time.Duration) Option { return func(c *cycle) { c.steady = long } }

// Cycle is a pod that was checkpointed, removed and restored.
type Cycle struct {
	*Restored
	// Counters are those of the pod, in the order of its containers: what they said around the checkpoint.
	Counters []*checks.Counter
	// Now is what each said when it was seen to go on in the restored pod.
	Now []report.State
}

// CheckpointAndRestore checkpoints a pod, removes it and restores it. It checks that the original goes on after its
// checkpoint, that every counter in the pod has survived, that the restored pod stays Ready, and that it is the only one.
func (s *Steps) CheckpointAndRestore(p *corev1.Pod, opts ...Option) *Cycle {
	s.Helper()
	o := cycle{steady: Steady, remove: s.Remove, afterCheckpoint: func(*Checkpoint) {}, beforeRestore: func() {}}
	for _, opt := range opts {
		opt(&o)
	}
	c := &Cycle{}
	taken, counters := s.CheckpointCounters(p)
	o.afterCheckpoint(taken)
	o.remove(p)
	o.beforeRestore()
	c.Counters = counters
	c.Restored, c.Now = s.RestoreCounters(taken, counters)
	s.StaysReady(c.Restored, o.steady)
	s.Alone(c.Restored)
	return c
}

// CheckpointCounters takes a checkpoint of a pod and checks that every counter in it goes on.
func (s *Steps) CheckpointCounters(p *corev1.Pod) (*Checkpoint, []*checks.Counter) {
	s.Helper()
	s.About(p)
	var counters []*checks.Counter
	for _, port := range pods.CounterPorts(p) {
		counters = append(counters, s.Before(p, port))
	}
	taken := s.Checkpoint(p)
	for _, counter := range counters {
		s.After(p, counter)
	}
	return taken, counters
}

// RestoreCounters restores a checkpoint and checks that every counter has survived. It returns what they said.
func (s *Steps) RestoreCounters(c *Checkpoint, counters []*checks.Counter) (*Restored, []report.State) {
	s.Helper()
	s.At(c)
	r := s.Restore(c)
	var now []report.State
	for _, counter := range counters {
		now = append(now, s.Survived(r.Pod, counter))
		s.HostName(r.Pod, counter.Port)
	}
	s.Check(checks.Together(counters, now))
	return r, now
}
