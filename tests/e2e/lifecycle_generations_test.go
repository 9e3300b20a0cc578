//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// A pod that was restored is restored again, and that one too: each goes on from the one before, not from the first.
func TestRestoreThreeGenerations(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.Counter(s.CounterImage(), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	const generations = 3
	marks := map[string]string{}
	for generation := 1; generation <= generations; generation++ {
		s.Logf("generation %d: pod %s", generation, p.Name)
		for _, dir := range []string{"/data", "/var/marks"} {
			path := fmt.Sprintf("%s/of-generation-%d", dir, generation)
			marks[path] = "written by " + p.Name
			s.Write(p, pods.CounterPort, path, marks[path])
		}
		r := s.CheckpointAndRestore(p)
		for path, content := range marks {
			fixture.Equal(s, path, content, s.Read(r.Pod, pods.CounterPort, path))
		}
		p = r.Pod
	}
}

// Of two checkpoints the older is restored, as it was then; the newer is untouched by that, and is restored beside it.
func TestRestoreOlderCheckpoint(t *testing.T) {
	s := begin(t)
	const file = "/var/mark"
	p := s.Start(pods.Counter(s.CounterImage()))
	s.Write(p, pods.CounterPort, file, "older")
	first, older := s.CheckpointCounters(p)
	s.Write(p, pods.CounterPort, file, "newer")
	second, newer := s.CheckpointCounters(p)
	s.That(newer[0].Before.Count > older[0].After.Count, fmt.Sprintf("the checkpoints are of different counts, beyond %d", older[0].After.Count), newer[0].Before.Count)
	s.Remove(p)

	a, _ := s.RestoreCounters(first, older)
	fixture.Equal(s, file+" in the pod restored from the older checkpoint", "older", s.Read(a.Pod, pods.CounterPort, file))
	b, _ := s.RestoreCounters(second, newer)
	fixture.Equal(s, file+" in the pod restored from the newer checkpoint", "newer", s.Read(b.Pod, pods.CounterPort, file))
	s.About(a.Pod)
	fixture.Equal(s, file+" in the pod restored from the older checkpoint, afterwards,", "older", s.Read(a.Pod, pods.CounterPort, file))
	s.StaysReady(a, steps.Steady)
	s.Settle(b)
}

// One checkpoint is restored twice: both pods live at once, each with its own memory and files from then on.
func TestRestoreOneCheckpointTwice(t *testing.T) {
	s := begin(t)
	const file = "/data/mark"
	p := s.Start(pods.Counter(s.CounterImage(), pods.Memory(16), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data"),
		pods.EmptyDir("scratch", "/scratch")))
	s.Write(p, pods.CounterPort, file, "of the original")
	c, counters := s.CheckpointCounters(p)
	s.Remove(p)

	a, _ := s.RestoreCounters(c, counters)
	s.Write(a.Pod, pods.CounterPort, file, "of the first")
	b, now := s.RestoreCounters(c, counters)
	fixture.Equal(s, file+" in the second pod", "of the original", s.Read(b.Pod, pods.CounterPort, file))
	s.Write(b.Pod, pods.CounterPort, file, "of the second")
	s.About(a.Pod)
	fixture.Equal(s, file+" in the first pod", "of the first", s.Read(a.Pod, pods.CounterPort, file))
	s.Apart(a.Pod, b.Pod, counters[0].Before, "/data", "/scratch", "/var")
	s.That(a.Status.PodIP != b.Status.PodIP, "the two pods have addresses of their own", a.Status.PodIP)
	first := s.State(a.Pod, pods.CounterPort)
	s.Same(counters[0].Before, first)
	s.Check(checks.Intact(first))
	s.LogGoesOn(a.Pod, "counter", first)
	s.About(b.Pod)
	s.LogGoesOn(b.Pod, "counter", now[0])
	s.StaysReady(a, steps.Steady)
	s.Settle(b)
}

// A pod is checkpointed while it answers requests over connections that stay open: none of them fails for it, and the
// restored pod takes over.
func TestCheckpointUnderLoad(t *testing.T) {
	// The pod stands still for its checkpoint, on a busy machine for longer than a client would wait by default.
	const patience = 10 * time.Second
	s := begin(t)
	s.Service("counter", pods.CounterPort)
	load := s.Create(pods.Load(s.CounterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok",
		pods.Env("COUNTER_LOAD_WORKERS", "8"), pods.Env("COUNTER_LOAD_INTERVAL", "10ms"), pods.Env("COUNTER_LOAD_TIMEOUT", patience.String())))
	p := s.Start(pods.Counter(s.CounterImage(), pods.Memory(16)))
	load = s.Ready(load)
	begun := s.Reached(load, s.Load(load))

	unharmed := func() {
		now := s.Answered(load, time.Now(), patience)
		s.About(p)
		s.That(now.Failed == begun.Failed, "no request fails because of the checkpoint", fmt.Sprintf("%d of %d failed, the last: %s", now.Failed-begun.Failed, now.OK-begun.OK, now.LastError))
	}
	for range 2 {
		s.CheckpointCounters(p)
		unharmed()
	}
	r := s.CheckpointAndRestore(p, steps.AfterCheckpoint(func(*steps.Checkpoint) { unharmed() }))
	// What was asked of the original after it was gone is given up first.
	s.Answered(load, r.ReadyAt, patience)
}

// A pod bears checkpoint after checkpoint, two at once too, and any of them can be restored.
func TestCheckpointAgainAndAgain(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.Counter(s.CounterImage(), pods.Memory(16)))
	const times = 5
	var all []*steps.Checkpoint
	var counters [][]*checks.Counter
	seen := map[string]bool{}
	for range times {
		c, said := s.CheckpointCounters(p)
		all, counters = append(all, c), append(counters, said)
		for _, r := range c.Records {
			s.That(!seen[r.ID], "each checkpoint has an id of its own", r.ID)
			seen[r.ID] = true
		}
	}
	s.CheckpointTogether(p, 2)
	s.That(s.Pods.Unsteady(p.UID, s.Pods.ReadyAt(p.UID)) == nil, "the pod stays Ready through its checkpoints", s.Pods.History())
	s.Remove(p)
	const middle = times / 2
	r, _ := s.RestoreCounters(all[middle], counters[middle])
	s.Settle(r)
}
