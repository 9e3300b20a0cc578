//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/machines"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// reserved is the node that TestNodes may cordon, kill and bring back while other tests run: the last agent of a k3d
// cluster. Their pods keep away from it (see create). Empty where there is none.
var reserved string

// reserve finds the node to reserve.
func reserve(ctx context.Context) (string, error) {
	list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil || env.ClusterName == "" {
		return "", err
	}
	if agents := agentsOf(list.Items); len(agents) > 0 {
		return agents[len(agents)-1], nil
	}
	return "", nil
}

const controlPlane = "node-role.kubernetes.io/control-plane"

// agentsOf are the nodes without a control plane, by name.
func agentsOf(nodes []corev1.Node) []string {
	var names []string
	for _, n := range nodes {
		if _, server := n.Labels[controlPlane]; !server {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names
}

// A pod outlives its node, and a node its helper. One after the other, because all have the reserved node to themselves;
// beside the other tests, whose pods are elsewhere.
func TestNodes(t *testing.T) {
	selected(t, environment.Full)
	if env.ClusterName == "" {
		t.Skip("kills and cordons nodes, which it does in a k3d cluster alone (E2E_CLUSTER=k3d): the nodes of an existing cluster are other people's")
	}
	if reserved == "" {
		t.Skip("needs a node to take away, and the cluster has no agent: E2E_AGENTS=1 go tool mage e2e adds one")
	}
	t.Parallel()
	for _, c := range []struct {
		name string
		test func(*scene)
	}{{"cordoned", nodeCordoned}, {"helper", helperKilled}, {"lost", nodeLost}} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.mayTake(reserved)
			c.test(s)
		})
	}
}

// mayTake checks that a node is as an earlier test should have left it, and skips the test when all depends on it.
func (s *scene) mayTake(name string) {
	s.Helper()
	node, err := kube.CoreV1().Nodes().Get(s.ctx, name, metav1.GetOptions{})
	s.must(err, "get node %s", name)
	s.that(nodeReady(node) && !node.Spec.Unschedulable, "node "+name+" is Ready and takes pods", describeNode(node))
	if len(s.cedanaPods("manager", name)) > 0 {
		s.Skipf("Cedana's manager is on %s, the one node that may be taken away: controllerManager.affinity in a file of HELM_VALUES moves it to another", name)
	}
}

// machines reaches the containers that the nodes are.
func (s *scene) machines() *machines.Machines {
	s.Helper()
	m, err := machines.Connect(s.ctx, env.ClusterName)
	s.must(err, "reach the containers of the nodes")
	return m
}

// The node of a pod takes no more pods: its pod can be checkpointed, and is restored on another node, where others reach
// it by the name of its service.
func nodeCordoned(s *scene) {
	_, err := kube.CoreV1().Services(s.namespace).Create(s.ctx, pods.Service("counter", pods.CounterPort), metav1.CreateOptions{})
	s.must(err, "create service counter")
	load := s.create(pods.Load(s.counterImage(), fmt.Sprintf("http://counter:%d/healthz", pods.CounterPort), "ok"))
	p := s.start(pods.Counter(s.counterImage(), pods.On(reserved), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data"), pods.Memory(16)))
	load = s.ready(load)
	reached := s.reached(load, s.load(load))
	s.cordon(reserved, true)
	s.Cleanup(func() { s.restoreNode(func() { s.cordon(reserved, false) }) })

	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)
	gone := s.load(load)
	s.that(gone.OK > reached.OK, "a pod on another node reaches the counter until it is deleted", gone)

	r := s.restore(c)
	s.elsewhere(r, reserved)
	s.survived(r, m)
	s.reached(load, s.load(load))
	s.settle(r)
}

// The node of a pod is lost after its checkpoint, as a spot instance is: the pod is restored on another node, with its
// state. The node that comes back later can be used as before.
func nodeLost(s *scene) {
	machine := s.machines()
	p := s.start(pods.Counter(s.counterImage(), pods.On(reserved), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data"), pods.Memory(16)))
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	killed := time.Now()
	s.Cleanup(func() {
		s.restoreNode(func() {
			s.nodeBack(machine, reserved, killed)
			s.freshHelper(reserved)
		})
	})
	s.must(machine.Kill(s.ctx, reserved), "kill node %s", reserved)
	s.nodeGone(reserved)
	s.forget(p)

	r := s.restore(c)
	s.elsewhere(r, reserved)
	s.survived(r, m)
	s.settle(r)

	s.nodeBack(machine, reserved, killed)
	again := s.start(pods.Counter(s.counterImage(), pods.Named("again"), pods.On(reserved)))
	m = s.before(again, pods.CounterPort)
	s.checkpoint(again)
	s.after(again, m)
}

// The helper is killed at the moment at which it holds a pod still. The pod goes on, the action comes to an end, and with
// the helper that takes the killed one's place the pod is checkpointed and restored.
func helperKilled(s *scene) {
	machine := s.machines()
	p := s.start(pods.Counter(s.counterImage(), pods.On(reserved), pods.Memory(64)))
	m := s.before(p, pods.CounterPort)
	helper := s.helperOn(reserved)
	s.Cleanup(func() { s.restoreNode(func() { s.freshHelper(reserved) }) })
	killed, err := machine.KillWhenFrozen(s.ctx, reserved, string(p.UID), string(helper.UID), env.CheckpointTimeout.Duration)
	s.must(err, "lie in wait for helper %s on %s", helper.Name, reserved)
	ctx, cancel := context.WithTimeout(s.ctx, 2*env.CheckpointTimeout.Duration)
	defer cancel()
	action := s.askUntil(ctx, p, killed)

	// The pod first: it must not have to wait for the action.
	begin := time.Now()
	m.after = s.progresses(p, m.before)
	s.note("the pod went on within %s of its helper's end", time.Since(begin).Round(time.Millisecond))
	s.moving(machine, reserved, p)
	_, err = s.api.Wait(ctx, action)
	var failed *propagator.ActionError
	if err != nil && !errors.As(err, &failed) {
		s.fail("the checkpoint during which the helper was killed ends, as ready or in error", err.Error())
	}
	s.note("the action of the killed helper: %v", failed)
	s.that(failed == nil || failed.Details != "", "an action that ended in error says why", "no details")
	s.helperReady(reserved)
	now := s.pods.Get(p.UID)
	s.that(now != nil && pods.Restarts(now) == 0, "the pod was not restarted", pods.Describe(now))

	m = s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)
	r := s.restore(c)
	s.survived(r, m)
	s.alone(r)
}

// ask asks for a checkpoint and does not wait for it. What it makes is given up in the test's cleanup.
func (s *scene) ask(p *corev1.Pod) string {
	s.Helper()
	s.about(p)
	action, err := s.api.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{
		PodID: string(p.UID), PodName: p.Name, Namespace: p.Namespace, ClusterID: env.ClusterID,
		Kind: propagator.KindSimple, Reason: propagator.ReasonManual, RuncRoot: env.RuncRoot,
	})
	s.must(err, "checkpoint pod %s", p.Name)
	s.facts.action = action
	s.actions = append(s.actions, action)
	s.Cleanup(func() { s.deprecateIfReady(action) })
	return action
}

// askUntil asks for one checkpoint after the other until the helper is killed in the middle of one, and returns that
// one's action: on a busy machine a freeze may be over before it is seen.
func (s *scene) askUntil(ctx context.Context, p *corev1.Pod, killed <-chan error) string {
	s.Helper()
	for {
		action := s.ask(p)
		ended := make(chan error, 1)
		go func() {
			_, err := s.api.Wait(ctx, action)
			ended <- err
		}()
		select {
		case err := <-killed:
			s.must(err, "kill the helper of %s in mid-checkpoint", p.Spec.NodeName)
			return action
		case err := <-ended:
			if err != nil {
				// Because of the kill, whose own end is told later.
				s.must(<-killed, "kill the helper of %s in mid-checkpoint; checkpoint %s: %v", p.Spec.NodeName, action, err)
				return action
			}
			s.note("checkpoint %s was over before the pod was seen frozen", action)
		}
	}
}

// deprecateIfReady gives up what an action has made that may have failed.
func (s *scene) deprecateIfReady(action string) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	state, err := s.api.Status(ctx, action)
	switch {
	case err != nil:
		s.Errorf("ask how action %s ended: %v%s", action, err, s.context())
	case state.Status == propagator.StatusReady:
		s.deprecate(action)
	}
}

// elsewhere checks that a restored pod is not on a node.
func (s *scene) elsewhere(r *restored, node string) {
	s.Helper()
	s.that(r.Spec.NodeName != "" && r.Spec.NodeName != node, "the restored pod is on another node than "+node, r.Spec.NodeName)
}

// moving checks that no process of a pod is held still.
func (s *scene) moving(machine *machines.Machines, node string, p *corev1.Pod) {
	s.Helper()
	err := wait.For(s.ctx, fmt.Sprintf("every cgroup of pod %s on %s to be thawed", p.Name, node), soon, func(ctx context.Context) (bool, string, error) {
		frozen, err := machine.Frozen(ctx, node, string(p.UID))
		return len(frozen) == 0, strings.Join(frozen, " "), err
	})
	s.must(err, "look for frozen processes of pod %s", p.Name)
}

// cordon sets whether the scheduler may use a node.
func (s *scene) cordon(node string, closed bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), cleanupTimeout)
	defer cancel()
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, closed)
	_, err := kube.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		s.Errorf("set unschedulable=%t of node %s: %v; `kubectl uncordon %s` makes it take pods again", closed, node, err, node)
	}
}

// restoreNode runs what brings the reserved node back to its former state, in a test's cleanup, when the test's own
// context has ended.
func (s *scene) restoreNode(do func()) {
	ctx, cancel := context.WithTimeout(context.Background(), machines.Settle)
	defer cancel()
	s.ctx = ctx
	do()
}

// nodeGone takes a dead node out of the cluster, as the controller of a cloud does when its instance is gone.
func (s *scene) nodeGone(node string) {
	s.Helper()
	err := kube.CoreV1().Nodes().Delete(s.ctx, node, metav1.DeleteOptions{})
	if !apierrors.IsNotFound(err) {
		s.must(err, "delete node %s", node)
	}
}

// forget deletes a pod whose node is dead: no kubelet is there to confirm its end.
func (s *scene) forget(p *corev1.Pod) {
	s.Helper()
	at := int64(0)
	err := kube.CoreV1().Pods(p.Namespace).Delete(s.ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &at})
	if !apierrors.IsNotFound(err) {
		s.must(err, "delete pod %s of a dead node", p.Name)
	}
	s.vanished(p)
}

// nodeBack starts the machine of a node that was killed, unless it runs, and waits until the node is Ready and has a
// helper that is.
func (s *scene) nodeBack(machine *machines.Machines, node string, killed time.Time) {
	s.Helper()
	s.must(machine.Start(s.ctx, node), "start node %s", node)
	err := wait.For(s.ctx, fmt.Sprintf("node %s to be Ready again", node), machines.Settle, func(ctx context.Context) (bool, string, error) {
		n, err := kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, "not registered", nil
		}
		if err != nil {
			return false, "", err
		}
		return nodeReady(n) && !heartbeatBefore(n, killed), describeNode(n), nil
	})
	s.must(err, "bring node %s back", node)
	s.helperReady(node)
}

// heartbeatBefore reports whether a node's Ready condition is of before a time: a dead node is Ready until its silence
// is noticed.
func heartbeatBefore(n *corev1.Node, t time.Time) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.LastHeartbeatTime.Time.Before(t.Truncate(time.Second))
		}
	}
	return true
}

func nodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func describeNode(n *corev1.Node) string {
	text := fmt.Sprintf("unschedulable=%t", n.Spec.Unschedulable)
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			text += fmt.Sprintf(", Ready=%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	return text
}

// cedanaPods are Cedana's pods of a component on a node.
func (s *scene) cedanaPods(component, node string) []corev1.Pod {
	s.Helper()
	list, err := kube.CoreV1().Pods(env.CedanaNamespace).List(s.ctx, metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/component=" + component, FieldSelector: "spec.nodeName=" + node,
	})
	s.must(err, "list Cedana's pods on %s", node)
	return list.Items
}

// helperOn is the helper of a node.
func (s *scene) helperOn(node string) *corev1.Pod {
	s.Helper()
	list := s.cedanaPods("helper", node)
	s.that(len(list) == 1, "node "+node+" has one helper", len(list))
	return &list[0]
}

// freshHelper puts a new helper in the place of one that was killed: the next end of a container that has ended once
// would make the kubelet wait, longer each time, before it starts it again.
func (s *scene) freshHelper(node string) {
	s.Helper()
	old := s.helperOn(node)
	err := kube.CoreV1().Pods(old.Namespace).Delete(s.ctx, old.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &old.UID}})
	if !apierrors.IsNotFound(err) {
		s.must(err, "delete helper %s", old.Name)
	}
	err = wait.For(s.ctx, "another helper on node "+node, machines.Settle, func(context.Context) (bool, string, error) {
		list := s.cedanaPods("helper", node)
		return len(list) == 1 && list[0].UID != old.UID, fmt.Sprintf("%d helpers", len(list)), nil
	})
	s.must(err, "replace helper %s", old.Name)
	s.helperReady(node)
}

// helperReady waits until a node has a helper that is Ready and whose containers have not ended since.
func (s *scene) helperReady(node string) {
	s.Helper()
	err := wait.For(s.ctx, "the helper of node "+node+" to be Ready", machines.Settle, func(context.Context) (bool, string, error) {
		list := s.cedanaPods("helper", node)
		if len(list) != 1 {
			return false, fmt.Sprintf("%d helpers", len(list)), nil
		}
		p := &list[0]
		running := !slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running == nil })
		return running && pods.IsReady(p), pods.Describe(p), nil
	})
	s.must(err, "wait for the helper of node %s", node)
}

// progresses waits until a counter answers and has counted on, and returns its state. Unlike past it bears with a pod
// that does not answer, because it stands still for the moment.
func (s *scene) progresses(p *corev1.Pod, from report.State) report.State {
	s.Helper()
	var now report.State
	err := wait.For(s.ctx, fmt.Sprintf("the count of pod %s to go on from %d", p.Name, from.Count), env.PodTimeout.Duration, func(ctx context.Context) (bool, string, error) {
		body, err := s.tryGet(ctx, p, pods.CounterPort, "/state", nil)
		if err == nil {
			err = json.Unmarshal(body, &now)
		}
		return err == nil && now.Count >= from.Count+progress, fmt.Sprintf("count %d, %v", now.Count, err), nil
	})
	s.must(err, "watch pod %s count", p.Name)
	s.same(from, now)
	return now
}
