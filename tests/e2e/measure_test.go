//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/timing"
)

// The budgets, as multiples of what the same work takes without Cedana.
const (
	// checkpointBudget is the API's checkpoint over the runtime's own, which the checkpoint's profile has.
	checkpointBudget = 1.5
	// restoreBudget is a restore over a start of the same pod from its image.
	restoreBudget = 0.8
	// warmup is the start-up work of the pod that the restore's budget is for: small for a program that loads a model.
	warmup = 2 * time.Second
)

// One probed pod under constant load is checkpointed, deleted and restored again and again: every time it has to be the
// same process, gone on.
func TestCycles(t *testing.T) {
	s := beginAlone(t, environment.Measure)
	_, err := kube.CoreV1().Services(s.namespace).Create(s.ctx, pods.Service("counter", pods.CounterPort), metav1.CreateOptions{})
	s.must(err, "create service counter")
	load := s.create(pods.Load(s.counterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok"))
	p, cold := s.timedStart(pods.Counter(s.counterImage(), pods.Memory(64)))
	load = s.ready(load)

	var times timing.Set
	times.Add(coldStart, cold)
	restores := 0
	defer func() {
		s.report("cycles", &times)
		s.note("%d of %d cycles restored the pod", restores, env.Cycles)
	}()
	for range env.Cycles {
		s.reached(load, s.load(load))
		m := s.before(p, pods.CounterPort)
		c := s.checkpoint(p)
		s.after(p, m)
		s.remove(p)
		r := s.restore(c)
		s.survived(r, m)
		// It stood for as long as it was looked at; the last one for 5 s.
		s.steady(r.Pod, r.readyAt, 0)
		s.alone(r)
		restores++
		times.Add(checkpointTime, c.took)
		s.profile(&times, c)
		times.Add(restoreTime, r.took())
		p = r.Pod
		if restores == env.Cycles {
			s.settle(r)
		}
	}
	seen := s.load(load)
	s.note("load: %d answers, %d failures (the pod is away between its deletion and its restore)", seen.OK, seen.Failed)
}

// The budgets of a checkpoint and of a restore, as medians. A checkpoint has its budget for nginx: of a larger pod, most
// of the time is the upload's. A restore has its budget for a pod that takes its time to start, which is what restores
// are for: the kubelet looks at containers and probes once a second, so no pod is Ready sooner than that, restored or not,
// and one that starts within the second, as nginx does, cannot be restored any quicker. Its figures are reported.
func TestBudget(t *testing.T) {
	selected(t, environment.Measure)
	for name, pod := range map[string]func() *corev1.Pod{
		"nginx":   func() *corev1.Pod { return pods.Nginx(env.ImageNginx) },
		"counter": func() *corev1.Pod { return pods.Counter(env.ImageCounter, pods.Memory(64), pods.Warmup(warmup)) },
	} {
		t.Run(name, func(t *testing.T) { budget(beginAlone(t, environment.Measure), name, pod) })
	}
}

func budget(s *scene, name string, pod func() *corev1.Pod) {
	var times timing.Set
	defer s.report("budget-"+name, &times)
	for range env.Samples {
		p, cold := s.timedStart(pod())
		times.Add(coldStart, cold)
		c := s.checkpoint(p)
		times.Add(checkpointTime, c.took)
		s.profile(&times, c)
		s.remove(p)
		r := s.restore(c)
		times.Add(restoreTime, r.took())
		s.settle(r)
		s.remove(r.Pod)
	}
	if name != "nginx" {
		s.within("a restore", times.Get(restoreTime).Median(), restoreBudget, "a cold start", times.Get(coldStart).Median())
		return
	}
	direct := times.Get(profileName + dumpProfile)
	if direct == nil {
		s.note("the server's profile has no %q: the checkpoint's budget cannot be told", dumpProfile)
		return
	}
	s.within("a checkpoint", times.Get(checkpointTime).Median(), checkpointBudget, "the runtime's own dump", direct.Median())
}

// within reports a figure that is over its budget; it does not end the test.
func (s *scene) within(what string, took time.Duration, budget float64, of string, base time.Duration) {
	s.Helper()
	ratio := float64(took) / float64(base)
	line := fmt.Sprintf("%s takes %s, %.2f times %s (%s); the budget is %.2f times", what, took.Round(time.Millisecond), ratio, of,
		base.Round(time.Millisecond), budget)
	if ratio > budget {
		s.Error(line)
		return
	}
	s.note("%s", line)
}

// timedStart starts a pod and tells how long it took until it was Ready.
func (s *scene) timedStart(p *corev1.Pod) (*corev1.Pod, time.Duration) {
	s.Helper()
	begin := time.Now()
	p = s.start(p)
	return p, s.pods.ReadyAt(p.UID).Sub(begin)
}

// What is measured.
const (
	coldStart      = "cold start: create to Ready"
	checkpointTime = "checkpoint: API call to ready"
	restoreTime    = "restore: API call to Ready"

	profileName = "checkpoint's profile: "
	// dumpProfile is what the local backend calls the runtime's own checkpoint.
	dumpProfile = "criu_dump"
	freezeName  = "checkpoint: frozen"
)

// profile adds what the server says of where a checkpoint's time went.
func (s *scene) profile(times *timing.Set, c *checkpoint) {
	i := info(c.rows[0])
	if i.Freeze > 0 {
		times.Add(freezeName, time.Duration(i.Freeze))
	}
	for _, name := range slices.Sorted(maps.Keys(i.Profiling)) {
		times.Add(profileName+name, time.Duration(i.Profiling[name]))
	}
}

// report prints a set of times and keeps it, whether the test passes or not.
func (s *scene) report(name string, times *timing.Set) {
	s.Helper()
	var table strings.Builder
	if err := times.Write(&table); err != nil {
		s.Errorf("write times: %v", err)
	}
	s.note("\n%s", table.String())
	kept := &artifacts.Directory{Path: env.Artifacts, Secret: env.Token}
	name = filepath.Join(artifacts.MeasuredDir, name)
	if err := kept.WriteJSON(name+".json", times); err != nil {
		s.Errorf("keep times: %v", err)
	}
	if err := kept.Write(name+".txt", []byte(table.String())); err != nil {
		s.Errorf("keep times: %v", err)
	}
}
