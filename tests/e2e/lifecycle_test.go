//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// A plain nginx becomes Ready and answers over the network: what the other tests build on.
func TestDeploy(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.Nginx(s.Env.ImageNginx))
	s.That(len(s.Get(p, pods.NginxPort, "/", nil)) > 0, "nginx answers with a page", "nothing")
	s.That(pods.Restarts(p) == 0, "0 restarts", pods.Describe(p))
}

// A checkpoint leaves its pod running: the same process, not started anew, going on.
func TestCheckpoint(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.Counter(s.CounterImage(), pods.Memory(16)))
	c, counters := s.CheckpointCounters(p)
	s.Check(checks.Briefly(counters[0]))
	s.That(s.Pods.Unsteady(p.UID, s.Pods.ReadyAt(p.UID)) == nil, "the pod stays Ready through its checkpoint", s.Pods.History())
	s.LogGoesOn(p, "counter", counters[0].After)
	if s.System.Can().Details {
		r := c.Records[0]
		s.That(r.Size > 0 && r.Freeze > 0, "the checkpoint's info has its size and how long the pod stood still", fmt.Sprintf("%+v", r))
		fixture.Equal(s, "the pod's name in the checkpoint's info", p.Name, r.Pod)
		fixture.Equal(s, "the node in the checkpoint's info", p.Spec.NodeName, r.Node)
	}
}

// A restored nginx has served the requests that the original had served until its checkpoint, and none after it.
func TestRestoreNginx(t *testing.T) {
	s := begin(t)
	p := s.Start(s.ObservableNginx())
	const visits = 20
	for i := range visits {
		s.Visit(p, fmt.Sprintf("/before/%d", i))
	}
	log, served := s.Visits(p), s.Served(p)
	s.That(served >= visits, fmt.Sprintf("at least %d requests served", visits), served)

	r := s.CheckpointAndRestore(p, steps.AfterCheckpoint(func(*steps.Checkpoint) { s.Visit(p, "/after") }))
	fixture.Equal(s, "the access log, as it was at the checkpoint,", log, s.Visits(r.Pod))
	now := s.Served(r.Pod)
	s.That(now >= served, fmt.Sprintf("at least the %d requests served before the checkpoint", served), now)
	s.Visit(r.Pod, "/restored")
	fixture.Equal(s, "the access log, going on at its next line,", log+" /restored", s.Visits(r.Pod))
}

// A restored counter goes on from the moment of its checkpoint, with its memory and its files, and others reach it by
// the name of its service.
func TestRestoreCounter(t *testing.T) {
	s := begin(t)
	s.Service("counter", pods.CounterPort)
	load := s.Create(pods.Load(s.CounterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok"))
	p := s.Start(pods.Counter(s.CounterImage(), pods.Memory(64)))
	load = s.Ready(load)
	reached := s.Reached(load, s.Load(load))

	const file, content = "/etc/e2e/new/file", "written before the checkpoint"
	s.About(p)
	s.Write(p, pods.CounterPort, file, content)
	r := s.CheckpointAndRestore(p,
		steps.AfterCheckpoint(func(*steps.Checkpoint) { s.Write(p, pods.CounterPort, file, "written after the checkpoint") }),
		steps.BeforeRestore(func() {
			gone := s.Load(load)
			s.That(gone.OK > reached.OK, "the load pod reaches the counter until it is deleted", gone)
		}))
	fixture.Equal(s, file, content, s.Read(r.Pod, pods.CounterPort, file))
	s.LogGoesOn(r.Pod, "counter", r.Now[0])
	s.Reached(load, s.Load(load))
}

// A restored pod can be checkpointed and restored like any other, also as soon as it is Ready.
func TestRestoreTwiceInARow(t *testing.T) {
	s := begin(t)
	first := s.CheckpointAndRestore(s.Start(pods.Counter(s.CounterImage())), steps.SteadyFor(0))
	s.Logf("the next generation: pod %s", first.Name)
	// Until its end it has to be Ready, for as long as that is: the 5 s are the second generation's. This is the longest test of its group.
	s.CheckpointAndRestore(first.Pod, steps.AfterCheckpoint(func(*steps.Checkpoint) { s.StaysReady(first.Restored, 0) }))
}

// Both containers of a pod go on from one moment: neither has heard from the other what that has not counted.
func TestRestoreTwoContainers(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.New("pair",
		pods.CounterContainer("first", s.CounterImage(), pods.CounterPort), pods.EmptyDir("shared", "/shared"), pods.Env("COUNTER_DIR", "/shared/first"), pods.Peer(pods.CounterPort+1),
		pods.CounterContainer("second", s.CounterImage(), pods.CounterPort+1), pods.EmptyDir("shared", "/shared"), pods.Env("COUNTER_DIR", "/shared/second"), pods.Peer(pods.CounterPort),
	))
	r := s.CheckpointAndRestore(p)
	s.LogGoesOn(r.Pod, "first", r.Now[0])
	s.LogGoesOn(r.Pod, "second", r.Now[1])
	// They share the volume still, and see each other's files in it.
	s.That(len(s.Read(r.Pod, pods.CounterPort, "/shared/second/log")) > 0, "the first container sees the second's file", "an empty file")
}

// An emptyDir has in the restored pod what it had in the original at the checkpoint: the file that a process holds open,
// and one that none does.
func TestRestoreEmptyDir(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.Counter(s.CounterImage(), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	const file, content = "/data/some/file", "in the volume"
	s.Write(p, pods.CounterPort, file, content)
	r := s.CheckpointAndRestore(p, steps.AfterCheckpoint(func(*steps.Checkpoint) {
		s.Write(p, pods.CounterPort, "/data/later", "too late")
	}))
	fixture.Equal(s, "the file of the volume that the counter writes to", "/data/log", r.Counters[0].Before.Journals["dir"].Path)
	fixture.Equal(s, file, content, s.Read(r.Pod, pods.CounterPort, file))
	_, err := s.TryGet(s.Ctx, r.Pod, pods.CounterPort, "/read", map[string]string{"path": "/data/later"})
	s.Check(fixture.NotThere(err, "/data/later, which was written after the checkpoint,"))
}
