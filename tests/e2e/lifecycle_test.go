//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// A plain nginx becomes Ready and answers over the network: what the other tests build on.
func TestDeploy(t *testing.T) {
	s := begin(t, environment.Smoke)
	p := s.start(pods.Nginx(env.ImageNginx))
	s.that(len(s.get(p, pods.NginxPort, "/", nil)) > 0, "nginx answers with a page", "nothing")
	s.that(pods.Restarts(p) == 0, "0 restarts", pods.Describe(p))
}

// A checkpoint leaves its pod running: the same process, not started anew, going on.
func TestCheckpoint(t *testing.T) {
	s := begin(t, environment.Smoke)
	p := s.start(pods.Counter(s.counterImage(), pods.Memory(16)))
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.briefly(m)
	s.that(s.pods.Unsteady(p.UID, s.pods.ReadyAt(p.UID)) == nil, "the pod stays Ready through its checkpoint", s.pods.History())
	s.speaks(p, "counter", m.after)
	if env.Backend == settings.BackendLocal {
		i := info(c.rows[0])
		s.that(i.Size > 0 && i.Freeze > 0, "the checkpoint's info has its size and how long the pod stood still", fmt.Sprintf("%+v", i))
		equal(s, "the pod's name in the checkpoint's info", p.Name, i.PodName)
		equal(s, "the node in the checkpoint's info", p.Spec.NodeName, i.NodeName)
	}
}

// A restored nginx has served the requests that the original had served until its checkpoint, and none after it.
func TestRestoreNginx(t *testing.T) {
	s := begin(t, environment.Smoke)
	p := s.nginxTold()
	const visits = 20
	for i := range visits {
		s.visit(p, fmt.Sprintf("/before/%d", i))
	}
	log, served := s.visits(p), s.served(p)
	s.that(served >= visits, fmt.Sprintf("at least %d requests served", visits), served)
	c := s.checkpoint(p)
	s.visit(p, "/after")
	s.remove(p)

	r := s.restore(c)
	equal(s, "the access log, as it was at the checkpoint,", log, s.visits(r.Pod))
	now := s.served(r.Pod)
	s.that(now >= served, fmt.Sprintf("at least the %d requests served before the checkpoint", served), now)
	s.visit(r.Pod, "/restored")
	equal(s, "the access log, going on at its next line,", log+" /restored", s.visits(r.Pod))
	s.settle(r)
}

// A restored counter goes on from the moment of its checkpoint, with its memory and its files, and others reach it by
// the name of its service.
func TestRestoreCounter(t *testing.T) {
	s := begin(t, environment.Smoke)
	_, err := kube.CoreV1().Services(s.namespace).Create(s.ctx, pods.Service("counter", pods.CounterPort), metav1.CreateOptions{})
	s.must(err, "create service counter")
	load := s.create(pods.Load(s.counterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok"))
	p := s.start(pods.Counter(s.counterImage(), pods.Memory(64)))
	load = s.ready(load)
	reached := s.reached(load, s.load(load))

	const file, content = "/etc/e2e/new/file", "written before the checkpoint"
	s.about(p)
	s.write(p, pods.CounterPort, file, content)
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.write(p, pods.CounterPort, file, "written after the checkpoint")
	s.remove(p)
	gone := s.load(load)
	s.that(gone.OK > reached.OK, "the load pod reaches the counter until it is deleted", gone)

	r := s.restore(c)
	now := s.survived(r, m)
	equal(s, file, content, s.read(r.Pod, pods.CounterPort, file))
	s.speaks(r.Pod, "counter", now)
	s.reached(load, s.load(load))
	s.settle(r)
}

// A restored pod can be checkpointed and restored like any other.
func TestRestoreTwiceInARow(t *testing.T) {
	s := begin(t, environment.Smoke)
	p := s.start(pods.Counter(s.counterImage()))
	for generation := 1; generation <= 2; generation++ {
		s.note("generation %d: pod %s", generation, p.Name)
		m := s.before(p, pods.CounterPort)
		c := s.checkpoint(p)
		s.after(p, m)
		s.remove(p)
		r := s.restore(c)
		s.survived(r, m)
		s.settle(r)
		p = r.Pod
	}
}

// Both containers of a pod go on from one moment.
func TestRestoreTwoContainers(t *testing.T) {
	s := begin(t, environment.Smoke)
	const second = pods.CounterPort + 1
	p := s.start(pods.New("pair",
		pods.CounterContainer("first", s.counterImage(), pods.CounterPort), pods.EmptyDir("shared", "/shared"), pods.Env("COUNTER_DIR", "/shared/first"),
		pods.CounterContainer("second", s.counterImage(), second), pods.EmptyDir("shared", "/shared"), pods.Env("COUNTER_DIR", "/shared/second"),
	))
	a, b := s.before(p, pods.CounterPort), s.before(p, second)
	c := s.checkpoint(p)
	s.after(p, a)
	s.after(p, b)
	s.remove(p)

	r := s.restore(c)
	nowA, nowB := s.survived(r, a), s.survived(r, b)
	s.speaks(r.Pod, "first", nowA)
	s.speaks(r.Pod, "second", nowB)
	// They share the volume still, and see each other's files in it.
	s.that(len(s.read(r.Pod, pods.CounterPort, "/shared/second/log")) > 0, "the first container sees the second's file", "an empty file")
	s.settle(r)
}

// An emptyDir has in the restored pod what it had in the original at the checkpoint: the file that a process holds open,
// and one that none does.
func TestRestoreEmptyDir(t *testing.T) {
	s := begin(t, environment.Smoke)
	p := s.start(pods.Counter(s.counterImage(), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	const file, content = "/data/some/file", "in the volume"
	s.write(p, pods.CounterPort, file, content)
	m := s.before(p, pods.CounterPort)
	equal(s, "the file of the volume that the counter writes to", "/data/log", m.before.Journals["dir"].Path)
	c := s.checkpoint(p)
	s.after(p, m)
	s.write(p, pods.CounterPort, "/data/later", "too late")
	s.remove(p)

	r := s.restore(c)
	s.survived(r, m)
	equal(s, file, content, s.read(r.Pod, pods.CounterPort, file))
	_, err := s.tryGet(s.ctx, r.Pod, pods.CounterPort, "/read", map[string]string{"path": "/data/later"})
	s.absent(err, "/data/later, which was written after the checkpoint,")
	s.settle(r)
}
