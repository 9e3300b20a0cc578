//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// A pod that was restored is restored again, and that one too: each goes on from the one before, not from the first.
func TestRestoreThreeGenerations(t *testing.T) {
	s := begin(t, environment.Full)
	p := s.start(pods.Counter(s.counterImage(), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	const generations = 3
	marks := map[string]string{}
	for generation := 1; generation <= generations; generation++ {
		s.note("generation %d: pod %s", generation, p.Name)
		for _, dir := range []string{"/data", "/var/marks"} {
			path := fmt.Sprintf("%s/of-generation-%d", dir, generation)
			marks[path] = "written by " + p.Name
			s.write(p, pods.CounterPort, path, marks[path])
		}
		m := s.before(p, pods.CounterPort)
		c := s.checkpoint(p)
		s.after(p, m)
		s.remove(p)
		r := s.restore(c)
		s.survived(r, m)
		for path, content := range marks {
			equal(s, path, content, s.read(r.Pod, pods.CounterPort, path))
		}
		if generation == generations {
			s.settle(r)
		}
		p = r.Pod
	}
}

// Of two checkpoints the older is restored, as it was then; the newer is untouched by that, and is restored beside it.
func TestRestoreOlderCheckpoint(t *testing.T) {
	s := begin(t, environment.Full)
	const file = "/var/mark"
	p := s.start(pods.Counter(s.counterImage()))
	s.write(p, pods.CounterPort, file, "older")
	older := s.before(p, pods.CounterPort)
	first := s.checkpoint(p)
	s.after(p, older)
	s.write(p, pods.CounterPort, file, "newer")
	newer := s.before(p, pods.CounterPort)
	second := s.checkpoint(p)
	s.after(p, newer)
	s.that(newer.before.Count > older.after.Count, fmt.Sprintf("the checkpoints are of different counts, beyond %d", older.after.Count), newer.before.Count)
	s.remove(p)

	s.at(first)
	a := s.restore(first)
	s.survived(a, older)
	equal(s, file+" in the pod restored from the older checkpoint", "older", s.read(a.Pod, pods.CounterPort, file))
	s.at(second)
	b := s.restore(second)
	s.survived(b, newer)
	equal(s, file+" in the pod restored from the newer checkpoint", "newer", s.read(b.Pod, pods.CounterPort, file))
	s.about(a.Pod)
	equal(s, file+" in the pod restored from the older checkpoint, afterwards,", "older", s.read(a.Pod, pods.CounterPort, file))
	s.steady(a.Pod, a.readyAt, steady)
	s.settle(b)
}

// One checkpoint is restored twice: both pods live at once, each with its own memory and files from then on.
func TestRestoreOneCheckpointTwice(t *testing.T) {
	s := begin(t, environment.Full)
	const file = "/data/mark"
	p := s.start(pods.Counter(s.counterImage(), pods.Memory(16), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	s.write(p, pods.CounterPort, file, "of the original")
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)

	a := s.restore(c)
	s.survived(a, m)
	s.write(a.Pod, pods.CounterPort, file, "of the first")
	b := s.restore(c)
	now := s.survived(b, m)
	equal(s, file+" in the second pod", "of the original", s.read(b.Pod, pods.CounterPort, file))
	s.write(b.Pod, pods.CounterPort, file, "of the second")
	s.about(a.Pod)
	equal(s, file+" in the first pod", "of the first", s.read(a.Pod, pods.CounterPort, file))
	s.that(a.Status.PodIP != b.Status.PodIP, "the two pods have addresses of their own", a.Status.PodIP)
	first := s.state(a.Pod, pods.CounterPort)
	s.same(m.before, first)
	s.intact(first)
	s.speaks(a.Pod, "counter", first)
	s.about(b.Pod)
	s.speaks(b.Pod, "counter", now)
	s.steady(a.Pod, a.readyAt, steady)
	s.settle(b)
}

// A pod is checkpointed while it answers requests over connections that stay open: none of them fails for it, and the
// restored pod takes over.
func TestCheckpointUnderLoad(t *testing.T) {
	s := begin(t, environment.Full)
	_, err := kube.CoreV1().Services(s.namespace).Create(s.ctx, pods.Service("counter", pods.CounterPort), metav1.CreateOptions{})
	s.must(err, "create service counter")
	load := s.create(pods.Load(s.counterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok",
		pods.Env("COUNTER_LOAD_WORKERS", "8"), pods.Env("COUNTER_LOAD_INTERVAL", "10ms"),
		// The pod stands still meanwhile, on a busy machine for longer than a client would wait by default.
		pods.Env("COUNTER_LOAD_TIMEOUT", patience.String())))
	p := s.start(pods.Counter(s.counterImage(), pods.Memory(16)))
	load = s.ready(load)
	begun := s.reached(load, s.load(load))

	s.about(p)
	var m *moments
	var c *checkpoint
	for range 3 {
		m = s.before(p, pods.CounterPort)
		c = s.checkpoint(p)
		s.after(p, m)
		now := s.answered(load, time.Now())
		s.about(p)
		s.that(now.Failed == begun.Failed, "no request fails because of the checkpoint", fmt.Sprintf("%d of %d failed, the last: %s", now.Failed-begun.Failed, now.OK-begun.OK, now.LastError))
	}
	s.remove(p)
	r := s.restore(c)
	s.survived(r, m)
	s.settle(r)
	// What was asked of the original after it was gone is given up first.
	s.answered(load, r.readyAt)
}

// A pod bears checkpoint after checkpoint, two at once too, and any of them can be restored.
func TestCheckpointAgainAndAgain(t *testing.T) {
	s := begin(t, environment.Full)
	p := s.start(pods.Counter(s.counterImage(), pods.Memory(16)))
	const times = 5
	var all []*checkpoint
	var moment []*moments
	seen := map[string]bool{}
	for range times {
		m := s.before(p, pods.CounterPort)
		c := s.checkpoint(p)
		s.after(p, m)
		all, moment = append(all, c), append(moment, m)
		for _, row := range c.rows {
			s.that(!seen[row.ID], "each checkpoint has an id of its own", row.ID)
			seen[row.ID] = true
		}
	}
	s.together(p, 2)
	s.that(s.pods.Unsteady(p.UID, s.pods.ReadyAt(p.UID)) == nil, "the pod stays Ready through its checkpoints", s.pods.History())
	s.remove(p)
	const middle = times / 2
	s.at(all[middle])
	r := s.restore(all[middle])
	s.survived(r, moment[middle])
	s.settle(r)
}

// patience of a client whose requests must not fail while a pod stands still for its checkpoint.
const patience = 10 * time.Second

// answered waits until every request of a load pod that was made before a time has ended, well or not.
func (s *scene) answered(p *corev1.Pod, since time.Time) report.Load {
	s.Helper()
	var now report.Load
	err := wait.For(s.ctx, fmt.Sprintf("the requests of pod %s to be answered", p.Name), patience+soon, func(context.Context) (bool, string, error) {
		now = s.load(p)
		return now.Waiting < time.Since(since), fmt.Sprintf("%d answers, %d failures, one unanswered for %s", now.OK, now.Failed, now.Waiting), nil
	})
	s.must(err, "watch the requests of pod %s", p.Name)
	return s.reached(p, now)
}

// together asks for checkpoints of one pod at once: each is ready in the end, and the pod goes on.
func (s *scene) together(p *corev1.Pod, n int) {
	s.Helper()
	before := s.state(p, pods.CounterPort)
	actions, errs := make([]string, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			actions[i], errs[i] = s.api.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{
				PodID: string(p.UID), PodName: p.Name, Namespace: p.Namespace, ClusterID: env.ClusterID,
				Kind: propagator.KindSimple, Reason: propagator.ReasonManual, RuncRoot: env.RuncRoot,
			})
			if errs[i] == nil {
				_, errs[i] = s.api.Wait(s.ctx, actions[i])
			}
		})
	}
	group.Wait()
	for i, action := range actions {
		if action != "" {
			s.actions = append(s.actions, action)
			s.Cleanup(func() { s.deprecate(action) })
			s.facts.action = action
		}
		s.must(errs[i], "checkpoint pod %s, %d at once", p.Name, n)
	}
	s.that(actions[0] != actions[1], "two requests are two actions", actions)
	s.intact(s.past(p, pods.CounterPort, before))
	s.same(before, s.state(p, pods.CounterPort))
}

// at notes which checkpoint the test is at.
func (s *scene) at(c *checkpoint) {
	s.facts.action, s.facts.checkpoint, s.facts.restore = c.action, "", ""
	for _, row := range c.rows {
		s.facts.checkpoint = strings.TrimSpace(s.facts.checkpoint + " " + row.ID)
	}
}
