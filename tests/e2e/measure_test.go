//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/measured"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
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
// Same process, gone on.
func TestCycles(t *testing.T) {
	s := beginAlone(t)
	s.Service("counter", pods.CounterPort)
	load := s.Create(pods.Load(s.CounterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok"))
	p, cold := timedStart(s, pods.Counter(s.CounterImage(), pods.Memory(64)))
	load = s.Ready(load)

	var times measured.Times
	times.Add(coldStart, cold)
	restores := 0
	defer func() {
		s.Report("cycles", &times)
		s.Logf("%d of %d cycles restored the pod", restores, s.Env.Cycles)
	}()
	for range s.Env.Cycles {
		s.Reached(load, s.Load(load))
		// It stood for as long as it was looked at; the last one for 5 s.
		r := s.CheckpointAndRestore(p, steps.SteadyFor(0))
		restores++
		times.Add(checkpointTime, r.From.Took)
		profile(&times, r.From)
		times.Add(restoreTime, r.Took())
		p = r.Pod
		if restores == s.Env.Cycles {
			s.Settle(r.Restored)
		}
	}
	seen := s.Load(load)
	s.Logf("load: %d answers, %d failures (the pod is away between its deletion and its restore)", seen.OK, seen.Failed)
}

// The budgets of a checkpoint and of a restore, as medians. A checkpoint has its budget for nginx: of a larger pod, most
// of the time is the upload's. A restore has its budget for a pod that takes its time to start, which is what restores
// are for: the kubelet looks at containers and probes once a second, so no pod is Ready sooner than that, restored or not,
// and one that starts within the second, as nginx does, cannot be restored any quicker. Its figures are reported.
func TestBudget(t *testing.T) {
	for name, pod := range map[string]func() *corev1.Pod{
		"nginx": func() *corev1.Pod { return pods.Nginx(cluster.Env.ImageNginx) },
		"counter": func() *corev1.Pod {
			return pods.Counter(cluster.Env.ImageCounter, pods.Memory(64), pods.Warmup(warmup))
		},
	} {
		t.Run(name, func(t *testing.T) { budget(beginAlone(t), name, pod) })
	}
}

func budget(s *steps.Steps, name string, pod func() *corev1.Pod) {
	var times measured.Times
	defer s.Report("budget-"+name, &times)
	for range s.Env.Samples {
		p, cold := timedStart(s, pod())
		times.Add(coldStart, cold)
		c := s.Checkpoint(p)
		times.Add(checkpointTime, c.Took)
		profile(&times, c)
		s.Remove(p)
		r := s.Restore(c)
		times.Add(restoreTime, r.Took())
		s.Settle(r)
		s.Remove(r.Pod)
	}
	if name != "nginx" {
		s.Within("a restore", times.Get(restoreTime).Median(), restoreBudget, "a cold start", times.Get(coldStart).Median())
		return
	}
	direct := times.Get(profileName + dumpProfile)
	if direct == nil {
		s.Logf("the server's profile has no %q: the checkpoint's budget cannot be told", dumpProfile)
		return
	}
	s.Within("a checkpoint", times.Get(checkpointTime).Median(), checkpointBudget, "the runtime's own dump", direct.Median())
}

// timedStart starts a pod and tells how long it took until it was Ready.
func timedStart(s *steps.Steps, p *corev1.Pod) (*corev1.Pod, time.Duration) {
	s.Helper()
	begin := time.Now()
	p = s.Start(p)
	return p, s.Pods.ReadyAt(p.UID).Sub(begin)
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

// profile adds what the system says of where a checkpoint's time went.
func profile(times *measured.Times, c *steps.Checkpoint) {
	r := c.Records[0]
	if r.Freeze > 0 {
		times.Add(freezeName, r.Freeze)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Profile)) {
		times.Add(profileName+name, r.Profile[name])
	}
}
