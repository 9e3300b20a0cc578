//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/nodes"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// A pod outlives its node, and a node its helper. One after the other, because all have the reserved node to themselves;
// beside the other tests, whose pods are elsewhere.
func TestNodes(t *testing.T) {
	if cluster.Env.ClusterName == "" {
		t.Skip("kills and cordons nodes, which it does in a k3d cluster alone (E2E_CLUSTER=k3d): the nodes of an existing cluster are other people's")
	}
	if cluster.Reserved == "" {
		t.Skip("needs a node to take away, and the cluster has no agent: E2E_AGENTS=1 go tool mage e2e adds one")
	}
	t.Parallel()
	for _, c := range []struct {
		name string
		test func(*nodeCase)
	}{{"cordoned", nodeCordoned}, {"helper", helperKilled}, {"lost", nodeLost}} {
		t.Run(c.name, func(t *testing.T) {
			s := &nodeCase{Steps: with(cluster.New(t)), node: cluster.Reserved}
			var err error
			s.nodes, err = nodes.Connect(s.Ctx, s.Kube, s.Env.ClusterName, s.Env.CedanaNamespace)
			s.Must(err, "reach the nodes")
			s.mayTake()
			c.test(s)
		})
	}
}

// nodeCase is a case that has a node to take away.
type nodeCase struct {
	*steps.Steps
	nodes *nodes.Nodes
	node  string
}

// mayTake checks that the node is as an earlier case should have left it, and skips the case when all depends on it.
func (s *nodeCase) mayTake() {
	s.Helper()
	node, err := s.Kube.CoreV1().Nodes().Get(s.Ctx, s.node, metav1.GetOptions{})
	s.Must(err, "get node %s", s.node)
	s.That(nodes.IsReady(node) && !node.Spec.Unschedulable, "node "+s.node+" is Ready and takes pods", nodes.Describe(node))
	managers, err := s.nodes.Cedana(s.Ctx, "manager", s.node)
	s.Must(err, "look for Cedana's manager")
	if len(managers) > 0 {
		s.Skipf("Cedana's manager is on %s, the one node that may be taken away: controllerManager.affinity in a file of HELM_VALUES moves it to another", s.node)
	}
}

// afterwards brings the node back to its former state in the case's cleanup.
func (s *nodeCase) afterwards(what string, do func(ctx context.Context) error) {
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.Ctx), nodes.Settle)
		defer cancel()
		if err := do(ctx); err != nil {
			s.Errorf("%s: %v", what, err)
		}
	})
}

// startOnNode starts a counter with a volume and some memory on the node.
func (s *nodeCase) startOnNode() *corev1.Pod {
	s.Helper()
	return s.Start(pods.Counter(s.CounterImage(), pods.On(s.node), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data"), pods.Memory(16)))
}

// The node of a pod takes no more pods: its pod can be checkpointed, and is restored on another node, where others reach
// it by the name of its service.
func nodeCordoned(s *nodeCase) {
	s.Service("counter", pods.CounterPort)
	load := s.Create(pods.Load(s.CounterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok"))
	p := s.startOnNode()
	load = s.Ready(load)
	reached := s.Reached(load, s.Load(load))
	s.afterwards("uncordon", func(ctx context.Context) error { return s.nodes.Cordon(ctx, s.node, false) })
	s.Must(s.nodes.Cordon(s.Ctx, s.node, true), "cordon")

	r := s.CheckpointAndRestore(p, steps.BeforeRestore(func() {
		gone := s.Load(load)
		s.That(gone.OK > reached.OK, "a pod on another node reaches the counter until it is deleted", gone)
	}))
	s.Elsewhere(r.Restored, s.node)
	s.Reached(load, s.Load(load))
}

// The node of a pod is lost after its checkpoint, as a spot instance is: the pod is restored on another node, with its
// state. The node that comes back later can be used as before.
func nodeLost(s *nodeCase) {
	p := s.startOnNode()
	var killed time.Time
	r := s.CheckpointAndRestore(p, steps.RemovedBy(func(p *corev1.Pod) {
		killed = time.Now()
		s.afterwards("bring node "+s.node+" back", func(ctx context.Context) error {
			return s.nodes.Restore(ctx, s.node, killed)
		})
		s.Must(s.nodes.Kill(s.Ctx, s.node), "kill node %s", s.node)
		s.Must(s.nodes.Delete(s.Ctx, s.node), "take node %s out of the cluster", s.node)
		s.Forget(p)
	}))
	s.Elsewhere(r.Restored, s.node)

	s.Must(s.nodes.Return(s.Ctx, s.node, killed), "bring node %s back", s.node)
	s.Must(s.nodes.HelperReady(s.Ctx, s.node), "wait for the helper of node %s", s.node)
	s.CheckpointCounters(s.Start(pods.Counter(s.CounterImage(), pods.Named("again"), pods.On(s.node))))
}

// The helper is killed at the moment at which it holds a pod still. The pod goes on, the action comes to an end, and with
// the helper that takes the killed one's place the pod is checkpointed and restored.
func helperKilled(s *nodeCase) {
	p := s.Start(pods.Counter(s.CounterImage(), pods.On(s.node), pods.Memory(64)))
	before := s.Before(p, pods.CounterPort).Before
	helper, err := s.nodes.Helper(s.Ctx, s.node)
	s.Must(err, "find the helper of node %s", s.node)
	s.afterwards("replace the killed helper", func(ctx context.Context) error { return s.nodes.ReplaceHelper(ctx, s.node) })
	killed, err := s.nodes.KillWhenFrozen(s.Ctx, s.node, string(p.UID), string(helper.UID), s.Env.CheckpointTimeout.Duration)
	s.Must(err, "watch for the freeze to kill helper %s on %s", helper.Name, s.node)
	ctx, cancel := context.WithTimeout(s.Ctx, 2*s.Env.CheckpointTimeout.Duration)
	defer cancel()
	operation := s.askUntil(ctx, p, killed)

	// The pod first: it must not have to wait for the action.
	begin := time.Now()
	s.Progresses(p, before)
	s.Logf("the pod went on within %s of its helper's end", time.Since(begin).Round(time.Millisecond))
	s.Must(s.nodes.Moving(s.Ctx, s.node, p, fixture.Soon), "look for frozen processes of pod %s", p.Name)
	err = s.System.Wait(ctx, operation)
	var failed *steps.FailedError
	if err != nil && !errors.As(err, &failed) {
		s.Unexpected("the checkpoint during which the helper was killed ends, as ready or in error", err.Error())
	}
	s.Logf("the action of the killed helper: %v", err)
	s.That(failed == nil || failed.Details != "", "an action that ended in error says why", "no details")
	s.Must(s.nodes.HelperReady(s.Ctx, s.node), "wait for the helper of node %s", s.node)
	now := s.Pods.Get(p.UID)
	s.That(now != nil && pods.Restarts(now) == 0, "the pod was not restarted", pods.Describe(now))

	s.CheckpointAndRestore(p, steps.SteadyFor(0))
}

// askUntil asks for one checkpoint after the other until the helper is killed in the middle of one, and returns that
// one: on a busy machine a freeze may be over before it is seen.
func (s *nodeCase) askUntil(ctx context.Context, p *corev1.Pod, killed <-chan error) steps.Operation {
	s.Helper()
	for {
		operation := s.Ask(p, steps.CheckpointOptions{})
		ended := make(chan error, 1)
		go func() { ended <- s.System.Wait(ctx, operation) }()
		select {
		case err := <-killed:
			s.Must(err, "kill the helper of %s in mid-checkpoint", p.Spec.NodeName)
			return operation
		case err := <-ended:
			if err != nil {
				// Because of the kill, whose own end is told later.
				s.Must(<-killed, "kill the helper of %s in mid-checkpoint; checkpoint %s: %v", p.Spec.NodeName, operation, err)
				return operation
			}
			s.Logf("checkpoint %s was over before the pod was seen frozen", operation)
		}
	}
}
