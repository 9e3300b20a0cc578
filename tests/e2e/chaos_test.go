//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/chaos"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/machines"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

const (
	// chaosPods live through it all.
	chaosPods = 4
	// keptCheckpoints of each pod are there to restore from; older ones are given up.
	keptCheckpoints = 2
	// leftOver is how long the nodes may take to clear away what was deleted.
	leftOver = time.Minute
)

// For E2E_CHAOS_TIME pods are checkpointed, deleted and restored side by side, while helpers, nodes and the propagator are
// killed. After each round every pod has to be there once, running on from where it was, and at the end every checkpoint
// restores its own moment and nothing is left anywhere. What happens follows from the seed.
func TestChaos(t *testing.T) {
	s := beginAlone(t, environment.Chaos)
	s.anywhere = true
	r := &chaosRun{scene: s, seen: map[types.UID]string{}}
	replay := fmt.Sprintf("SEED=%d E2E_CHAOS_TIME=%s SUITE=chaos %s", env.Seed, env.ChaosTime.Duration, environment.Remedy)
	s.facts.replay = replay
	s.note("the seed is %d; again: %s", env.Seed, replay)
	r.prepare()
	plan := chaos.New(env.Seed, chaos.Options{Pods: chaosPods, Agents: len(r.agents), Propagator: r.propagator != ""})
	for begin := time.Now(); time.Since(begin) < env.ChaosTime.Duration; {
		round := plan.Next()
		s.facts.round = round.String()
		at := time.Now()
		r.play(round)
		r.recover()
		r.check()
		s.note("%s: %s", round, time.Since(at).Round(100*time.Millisecond))
	}
	s.facts.round = "the end"
	r.finish()
	s.note("%d checkpoints and %d restores were done, %d deeds failed because of what was killed; %d helpers were killed while they held a pod still",
		r.taken.Load(), r.restored.Load(), r.excused.Load(), r.ambushes.Load())
}

// chaosRun is the world of one run.
type chaosRun struct {
	*scene
	machine *machines.Machines
	// where is what the client's requests follow the propagator by.
	where *following
	// agents are the nodes that may be killed; propagator is the container of the local propagator, else empty.
	agents     []string
	propagator string
	victims    []*victim

	mu sync.Mutex
	// seen are all pods that there ever were, with the name of their node.
	seen map[types.UID]string
	// started are all actions.
	started []string

	taken, restored, excused, ambushes atomic.Int64
}

// victim is one pod through all its lives.
type victim struct {
	number int
	// pod is nil while it is lost.
	pod *corev1.Pod
	// now was last seen of it.
	now   report.State
	saved []*saved
}

// saved is a checkpoint and what the pod said before it and after it.
type saved struct {
	action        string
	name          string
	before, after report.State
}

func (r *chaosRun) prepare() {
	r.Helper()
	r.counterImage()
	if env.ClusterName != "" {
		r.machine = r.machines()
		list, err := kube.CoreV1().Nodes().List(r.ctx, metav1.ListOptions{})
		r.must(err, "list nodes")
		for _, name := range agentsOf(list.Items) {
			// Without the manager nothing is restored: that is no state of a pod to check.
			if len(r.cedanaPods("manager", name)) == 0 {
				r.agents = append(r.agents, name)
			}
			r.Cleanup(func() {
				r.restoreNode(func() {
					r.nodeBack(r.machine, name, time.Time{})
					r.cordon(name, false)
				})
			})
		}
	}
	if len(r.agents) == 0 {
		r.note("no node may be killed here: a k3d cluster with agents (E2E_AGENTS=2) has some")
	}
	if env.Backend == settings.BackendLocal && r.machine != nil {
		r.propagator = backend.Name(env.ClusterName)
		r.follow()
	}
	for i := range chaosPods {
		r.victims = append(r.victims, &victim{number: i})
		r.victims[i].pod = r.create(pods.Counter(r.counterImage(), pods.Named(fmt.Sprintf("victim-%d", i)), pods.Memory(16*(i%2)+8),
			pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	}
	for _, v := range r.victims {
		v.pod = r.ready(v.pod)
		r.remember(v.pod)
		v.now = r.state(v.pod, pods.CounterPort)
		r.must(r.checkpointVictim(v), "take the first checkpoint of pod %d", v.number)
	}
}

// follow makes the client go where the propagator is: Docker publishes it at another port after each start.
func (r *chaosRun) follow() {
	r.Helper()
	transport := &following{next: r.requests}
	r.must(r.lookUp(transport), "find the propagator")
	r.where, r.through = transport, transport
	client, err := propagator.New(env.URL, env.Token, propagator.WithTransport(transport),
		propagator.WithPolling(20*time.Millisecond, 250*time.Millisecond), propagator.WithTotalTimeout(time.Minute))
	r.must(err, "make client for the propagator at %s", env.URL)
	r.Cleanup(client.Close)
	r.api = client
	r.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), machines.Settle)
		defer cancel()
		if err := r.machine.Start(ctx, r.propagator); err != nil {
			r.Errorf("bring the propagator back: %v", err)
		}
	})
}

// following sends every request to the address that is the right one now.
type following struct {
	next http.RoundTripper
	host atomic.Value
}

func (f *following) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.Host = f.host.Load().(string)
	return f.next.RoundTrip(request)
}

func (r *chaosRun) lookUp(to *following) error {
	address, err := r.machine.Address(r.ctx, r.propagator, backend.Port)
	if err == nil {
		to.host.Store(address)
	}
	return err
}

// play does a round: its deeds side by side, and its trouble among them.
func (r *chaosRun) play(round chaos.Round) {
	r.Helper()
	node := ""
	if len(r.agents) > 0 {
		node = r.agents[round.Agent]
	}
	// Where each pod was when the round began: what happens to another node is no excuse.
	where := map[int]string{}
	for _, v := range r.victims {
		where[v.number] = v.pod.Spec.NodeName
	}
	strike := func() (func() error, error) {
		if err := sleep(r.ctx, round.After); err != nil {
			return func() error { return nil }, err
		}
		return r.strike(round.Trouble, node)
	}
	if round.Trouble == chaos.KillHelperFrozen {
		strike = r.lieInWait(round, node, where)
	}
	var deeds, trouble errgroup.Group
	repair := func() error { return nil }
	trouble.Go(func() error {
		end, err := strike()
		if round.Trouble == chaos.Cordon {
			// That one lasts for the whole round.
			repair = end
			return err
		}
		return errors.Join(err, end())
	})
	for _, d := range round.Deeds {
		v := r.victims[d.Pod]
		deeds.Go(func() error {
			if err := sleep(r.ctx, d.After); err != nil {
				return err
			}
			err := r.do(d, v)
			if err != nil && excuse(round.Trouble, d.Kind, where[d.Pod] == node) {
				r.excused.Add(1)
				r.note("%s: pod %d: excused: %v", round.Trouble, d.Pod, err)
				return nil
			}
			if err != nil {
				return fmt.Errorf("pod %d, which was on %s, %s: %w", d.Pod, where[d.Pod], d.Kind, err)
			}
			return nil
		})
	}
	troubled, failed := trouble.Wait(), deeds.Wait()
	r.must(errors.Join(troubled, repair()), "make trouble and end it: %s", round.Trouble)
	r.must(failed, "do what the round says")
}

// excuse reports whether a deed may fail because of a trouble. there says that its pod was on the node of the trouble.
func excuse(t chaos.Trouble, kind chaos.Kind, there bool) bool {
	restores := kind == chaos.Restore || kind == chaos.Cycle
	switch t {
	case chaos.KillHelper, chaos.KillHelperFrozen:
		// A cycle may have come to that node with its first restore.
		return there || kind == chaos.Cycle
	case chaos.KillNode:
		// A restore may have been placed on that node.
		return there || restores
	case chaos.KillPropagator:
		return true
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// strike makes a trouble and returns what ends it.
func (r *chaosRun) strike(t chaos.Trouble, node string) (repair func() error, err error) {
	repair = func() error { return nil }
	switch t {
	case chaos.KillHelper:
		helper, err := r.findHelper(node)
		if err != nil {
			return repair, err
		}
		// Deleted too: a container that has ended more than once is started again later and later.
		return func() error { return r.replaceHelper(node, helper) }, r.machine.KillPod(r.ctx, node, string(helper.UID))
	case chaos.KillNode:
		killed := time.Now()
		if err := r.machine.Kill(r.ctx, node); err != nil {
			return repair, err
		}
		err := kube.CoreV1().Nodes().Delete(r.ctx, node, metav1.DeleteOptions{})
		return func() error { return r.nodeReturns(node, killed) }, err
	case chaos.Cordon:
		return func() error { return r.setCordon(node, false) }, r.setCordon(node, true)
	case chaos.KillPropagator:
		if err := r.machine.Kill(r.ctx, r.propagator); err != nil {
			return repair, err
		}
		// Down for long enough to be missed.
		if err := sleep(r.ctx, 500*time.Millisecond); err != nil {
			return repair, err
		}
		if err := r.machine.Start(r.ctx, r.propagator); err != nil {
			return repair, err
		}
		return func() error {
			_, err := r.api.User(r.ctx)
			return err
		}, r.lookUp(r.where)
	}
	return repair, nil
}

// frozenSoon is within what time a checkpoint that was asked for holds its pod still.
const frozenSoon = 15 * time.Second

// lieInWait prepares to kill the helper of a node at the moment at which it holds a pod still. It is on the watch before
// the round's deeds begin. Where none of them takes a checkpoint on the node, the helper is killed at the round's time.
func (r *chaosRun) lieInWait(round chaos.Round, node string, where map[int]string) func() (func() error, error) {
	r.Helper()
	plain := func() (func() error, error) {
		if err := sleep(r.ctx, round.After); err != nil {
			return func() error { return nil }, err
		}
		return r.strike(chaos.KillHelper, node)
	}
	i := slices.IndexFunc(round.Deeds, func(d chaos.Deed) bool { return d.Kind != chaos.Restore && where[d.Pod] == node })
	if i < 0 {
		return plain
	}
	helper, err := r.findHelper(node)
	r.must(err, "find the helper to kill")
	pod := r.victims[round.Deeds[i].Pod].pod
	ended, err := r.machine.KillWhenFrozen(r.ctx, node, string(pod.UID), string(helper.UID), frozenSoon)
	r.must(err, "lie in wait for helper %s on %s", helper.Name, node)
	return func() (func() error, error) {
		if err := <-ended; err != nil {
			r.note("%v", err)
			return plain()
		}
		r.ambushes.Add(1)
		return func() error { return r.replaceHelper(node, helper) }, nil
	}
}

func (r *chaosRun) setCordon(node string, closed bool) error {
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, closed)
	_, err := kube.CoreV1().Nodes().Patch(r.ctx, node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (r *chaosRun) findHelper(node string) (*corev1.Pod, error) {
	list, err := kube.CoreV1().Pods(env.CedanaNamespace).List(r.ctx, metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/component=helper", FieldSelector: "spec.nodeName=" + node,
	})
	if err != nil {
		return nil, fmt.Errorf("list helpers: %w", err)
	}
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("node %s has %d helpers, want 1", node, len(list.Items))
	}
	return &list.Items[0], nil
}

// replaceHelper deletes a helper and waits until another is Ready in its place.
func (r *chaosRun) replaceHelper(node string, old *corev1.Pod) error {
	err := kube.CoreV1().Pods(old.Namespace).Delete(r.ctx, old.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &old.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete helper %s: %w", old.Name, err)
	}
	return r.helperReturns(node, old.UID)
}

func (r *chaosRun) helperReturns(node string, not types.UID) error {
	return wait.For(r.ctx, "a helper on node "+node+" to be Ready", machines.Settle, func(context.Context) (bool, string, error) {
		p, err := r.findHelper(node)
		if err != nil {
			return false, err.Error(), nil
		}
		running := !slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running == nil })
		return p.UID != not && running && pods.IsReady(p), pods.Describe(p), nil
	})
}

// nodeReturns forgets the pods of a dead node, starts it and waits until it can be used again.
func (r *chaosRun) nodeReturns(node string, killed time.Time) error {
	at := int64(0)
	list, err := kube.CoreV1().Pods(r.namespace).List(r.ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return fmt.Errorf("list pods of node %s: %w", node, err)
	}
	for _, p := range list.Items {
		err := kube.CoreV1().Pods(r.namespace).Delete(r.ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &at})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete pod %s of a dead node: %w", p.Name, err)
		}
	}
	if err := r.machine.Start(r.ctx, node); err != nil {
		return err
	}
	err = wait.For(r.ctx, fmt.Sprintf("node %s to be Ready again", node), machines.Settle, func(ctx context.Context) (bool, string, error) {
		n, err := kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return false, err.Error(), nil
		}
		return nodeReady(n) && !heartbeatBefore(n, killed), describeNode(n), nil
	})
	if err != nil {
		return err
	}
	helper, err := r.findHelper(node)
	if err != nil {
		return err
	}
	// Its container has ended with the node, and counts as one that ended by itself.
	return r.replaceHelper(node, helper)
}

// do does one deed. What is left of its pod when it fails is found out by recover.
func (r *chaosRun) do(d chaos.Deed, v *victim) error {
	switch d.Kind {
	case chaos.Checkpoint:
		return r.checkpointVictim(v)
	case chaos.Twice:
		var both errgroup.Group
		takes := make([]*saved, 2)
		for i := range takes {
			both.Go(func() (err error) {
				takes[i], err = r.take(v.pod, v.now)
				return err
			})
		}
		err := both.Wait()
		for _, one := range takes {
			if one != nil {
				r.keep(v, one)
			}
		}
		return err
	case chaos.Restore:
		return r.restoreVictim(v, v.saved[max(len(v.saved)-1-d.Back, 0)])
	}
	for range d.Times {
		if err := r.checkpointVictim(v); err != nil {
			return err
		}
		if err := r.restoreVictim(v, v.saved[len(v.saved)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *chaosRun) checkpointVictim(v *victim) error {
	one, err := r.take(v.pod, v.now)
	if err == nil {
		r.keep(v, one)
	}
	return err
}

// take takes a checkpoint of a pod and finds out what it was like before and after.
func (r *chaosRun) take(p *corev1.Pod, last report.State) (*saved, error) {
	before, err := r.stateOf(p)
	if err != nil {
		return nil, err
	}
	if err := sameProcess(last, before); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, env.CheckpointTimeout.Duration+30*time.Second)
	defer cancel()
	asked := time.Now()
	action, err := r.api.CheckpointPod(ctx, propagator.CheckpointPodRequest{
		PodID: string(p.UID), PodName: p.Name, Namespace: p.Namespace, ClusterID: env.ClusterID,
		Kind: propagator.KindSimple, Reason: propagator.ReasonManual, RuncRoot: env.RuncRoot,
	})
	r.begun(action)
	if err != nil {
		return nil, fmt.Errorf("ask for a checkpoint: %w", err)
	}
	if _, err := r.api.Wait(ctx, action); err != nil {
		return nil, err
	}
	r.taken.Add(1)
	one := &saved{action: action, name: p.Name, before: before}
	if one.after, err = r.stateOf(p); err != nil {
		// The checkpoint is good all the same: it was ready by now, and the pod counts ten a second.
		one.after = before
		one.after.Count += uint64(time.Since(asked)/(100*time.Millisecond)) + progress
		return one, err
	}
	return one, sameProcess(before, one.after)
}

// keep adds a checkpoint to those of a pod and gives up the oldest.
func (r *chaosRun) keep(v *victim, one *saved) {
	v.saved = append(v.saved, one)
	for len(v.saved) > keptCheckpoints {
		r.giveUp(v.saved[0].action)
		v.saved = v.saved[1:]
	}
}

// giveUp deprecates an action's checkpoints; the end checks that none was missed.
func (r *chaosRun) giveUp(action string) {
	rows, err := r.checkpointRows(r.ctx, action)
	for _, row := range rows {
		err = errors.Join(err, r.api.Deprecate(r.ctx, row.ID))
	}
	if err != nil {
		r.note("give up the checkpoints of action %s: %v", action, err)
	}
}

// restoreVictim deletes a pod, if it is there, restores it from a checkpoint, and checks that it is at that moment.
func (r *chaosRun) restoreVictim(v *victim, from *saved) error {
	if v.pod != nil {
		if err := r.deletePod(v.pod); err != nil {
			return err
		}
		v.pod = nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, env.RestoreTimeout.Duration)
	defer cancel()
	asked := time.Now()
	action, err := r.api.RestorePod(ctx, propagator.RestorePodRequest{ActionID: from.action, ClusterID: env.ClusterID, Reason: propagator.ReasonManual})
	r.begun(action)
	if err != nil {
		return fmt.Errorf("ask for a restore from action %s: %w", from.action, err)
	}
	if _, err := r.api.Wait(ctx, action); err != nil {
		return err
	}
	row, err := r.api.Action(ctx, action)
	if err != nil {
		return err
	}
	var details struct {
		RestoredPod string `json:"restored_pod"`
	}
	_ = json.Unmarshal(row.Details, &details) // free-form: see found
	p, err := r.found(ctx, v, details.RestoredPod)
	if err != nil {
		return err
	}
	r.restored.Add(1)
	r.remember(p)
	v.pod = p
	now, err := r.stateOf(p)
	if err != nil {
		return err
	}
	v.now = now
	return at(from, asked, now)
}

// found is the pod that a restore has made: by its name where the propagator gives that, else by what its name has in it.
func (r *chaosRun) found(ctx context.Context, v *victim, name string) (*corev1.Pod, error) {
	var found *corev1.Pod
	err := wait.For(ctx, fmt.Sprintf("the restored pod of victim-%d to be Ready", v.number), soon, func(context.Context) (bool, string, error) {
		var mine []*corev1.Pod
		for _, p := range r.pods.List() {
			if p.DeletionTimestamp == nil && (p.Name == name || name == "" && pods.RestoredName(p.Name, fmt.Sprintf("victim-%d", v.number))) {
				mine = append(mine, p)
			}
		}
		if len(mine) > 1 {
			return false, "", fmt.Errorf("it is there %d times: %s", len(mine), pods.Names(mine))
		}
		if len(mine) == 0 {
			return false, "no such pod", nil
		}
		found = mine[0]
		return pods.IsReady(found), pods.Describe(found), nil
	}, wait.Every(look))
	return found, err
}

func (r *chaosRun) deletePod(p *corev1.Pod) error {
	err := kube.CoreV1().Pods(p.Namespace).Delete(r.ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s: %w", p.Name, err)
	}
	return wait.For(r.ctx, fmt.Sprintf("pod %s to be gone", p.Name), env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := r.pods.Get(p.UID)
		return now == nil, pods.Describe(now), nil
	}, wait.Every(look))
}

// stateOf asks a counter for its state; a moment's silence is borne, as a pod that is held still does not answer.
func (r *chaosRun) stateOf(p *corev1.Pod) (report.State, error) {
	var state report.State
	err := wait.For(r.ctx, fmt.Sprintf("pod %s on %s to answer", p.Name, p.Spec.NodeName), env.PodTimeout.Duration/2, func(ctx context.Context) (bool, string, error) {
		body, err := r.tryGet(ctx, p, pods.CounterPort, "/state", nil)
		if err == nil {
			err = json.Unmarshal(body, &state)
		}
		if err != nil && r.pods.Get(p.UID) == nil {
			return false, "", fmt.Errorf("the pod is gone")
		}
		return err == nil, fmt.Sprint(err), nil
	})
	return state, err
}

// sameProcess checks that two states are of one process that has gone on, with its files as they should be.
func sameProcess(was, is report.State) error {
	var wrong []string
	if was.Nonce != is.Nonce || !was.Start.Equal(is.Start) {
		wrong = append(wrong, fmt.Sprintf("it is another process: nonce %s of %s, want %s of %s", is.Nonce, is.Start, was.Nonce, was.Start))
	}
	if is.MemorySHA256 != was.MemorySHA256 {
		wrong = append(wrong, fmt.Sprintf("the checksum of its memory is %s, want %s", is.MemorySHA256, was.MemorySHA256))
	}
	if is.Count < was.Count {
		wrong = append(wrong, fmt.Sprintf("its count is %d, and was %d before", is.Count, was.Count))
	}
	for _, j := range is.Journals {
		if j.Error != "" {
			wrong = append(wrong, j.Path+": "+j.Error)
		}
	}
	if len(is.Journals) != 2 {
		wrong = append(wrong, fmt.Sprintf("it has %d files open, want 2", len(is.Journals)))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// at checks that a restored process comes from the moment of a checkpoint: at the time of the request for its restore it
// slept, and it remembers at which count it fell asleep.
func at(from *saved, asked time.Time, now report.State) error {
	if err := sameProcess(from.before, now); err != nil {
		return err
	}
	for _, slept := range now.Pauses {
		if slept.From.After(asked) || slept.To.Before(asked) {
			continue
		}
		if slept.Count < from.before.Count || slept.Count > from.after.Count {
			return fmt.Errorf("it goes on from count %d, and its checkpoint %s was taken between %d and %d", slept.Count, from.action, from.before.Count, from.after.Count)
		}
		return nil
	}
	return fmt.Errorf("it was not asleep at %s, when its restore from %s was asked for: its pauses were %v", asked.UTC(), from.action, now.Pauses)
}

// recover brings back the pods that a round has cost: each is restored from its newest checkpoint, and without trouble
// that has to succeed.
func (r *chaosRun) recover() {
	r.Helper()
	for _, v := range r.victims {
		if v.pod != nil && r.pods.Get(v.pod.UID) == nil {
			v.pod = nil
		}
	}
	// Restored by an action whose answer did not come: one restore makes one pod, and who does not know it restores again.
	for _, p := range r.pods.List() {
		known := slices.ContainsFunc(r.victims, func(v *victim) bool { return v.pod != nil && v.pod.UID == p.UID })
		if !known && p.DeletionTimestamp == nil {
			r.note("pod %s is nobody's any more", p.Name)
			r.remember(p)
			r.must(r.deletePod(p), "remove pod %s", p.Name)
		}
	}
	for _, v := range r.victims {
		if v.pod == nil {
			r.must(r.restoreVictim(v, v.saved[len(v.saved)-1]), "restore lost pod %d from its newest checkpoint", v.number)
		}
	}
}

// check checks what has to hold whenever there is no trouble.
func (r *chaosRun) check() {
	r.Helper()
	r.ended()
	var names []string
	for _, v := range r.victims {
		r.about(v.pod)
		r.until(v.pod, "to be Ready", pods.IsReady)
		now := r.pods.Get(v.pod.UID)
		r.that(pods.Restarts(now) == 0, "no container was restarted", pods.Describe(now))
		v.now = r.progresses(v.pod, v.now)
		r.must(sameProcess(v.now, v.now), "look at the files of pod %d", v.number)
		if r.machine != nil {
			r.moving(r.machine, v.pod.Spec.NodeName, v.pod)
		}
		names = append(names, v.pod.Name)
	}
	slices.Sort(names)
	var there []string
	list, err := kube.CoreV1().Pods(r.namespace).List(r.ctx, metav1.ListOptions{})
	r.must(err, "list pods")
	for _, p := range list.Items {
		there = append(there, p.Name)
	}
	equal(r.scene, "the pods that there are", strings.Join(names, " "), strings.Join(there, " "))
}

// ended checks that every action of the run is at an end: each was waited for, or its helper, node or propagator was
// killed, and then it has its deadline.
func (r *chaosRun) ended() {
	r.Helper()
	err := wait.For(r.ctx, "every action to be at an end", env.RestoreTimeout.Duration, func(ctx context.Context) (bool, string, error) {
		rows, err := r.api.Actions(ctx, propagator.ActionFilter{})
		if err != nil {
			return false, "", err
		}
		var open []string
		for _, row := range rows {
			if slices.Contains(r.started, row.ActionID) && !slices.Contains([]string{"ready", "error", "success", "completed", "failed"}, row.Status) {
				open = append(open, row.ActionID+" "+row.Status)
			}
		}
		return len(open) == 0, strings.Join(open, ", "), nil
	})
	r.must(err, "wait for the actions' end")
}

// finish restores every checkpoint that is left, deletes everything, and looks for what remains of it.
func (r *chaosRun) finish() {
	r.Helper()
	var all errgroup.Group
	for _, v := range r.victims {
		all.Go(func() error {
			for _, one := range v.saved {
				if err := r.restoreVictim(v, one); err != nil {
					return fmt.Errorf("restore pod %d from %s: %w", v.number, one.action, err)
				}
			}
			return nil
		})
	}
	r.must(all.Wait(), "restore every checkpoint that is left")
	r.check()
	for _, v := range r.victims {
		r.must(r.deletePod(v.pod), "delete pod %d", v.number)
		for _, one := range v.saved {
			r.giveUp(one.action)
		}
	}
	r.that(len(r.present()) == 0, "no pod is left", r.present())
	r.nothingKept()
	r.nothingRuns()
}

// nothingKept checks that no checkpoint of the run is left that was not given up.
func (r *chaosRun) nothingKept() {
	r.Helper()
	err := wait.For(r.ctx, "every checkpoint of the run to be given up", soon, func(ctx context.Context) (bool, string, error) {
		var kept []string
		for _, action := range r.started {
			rows, err := r.rowsOf(ctx, action)
			if err != nil {
				return false, "", err
			}
			for _, row := range rows {
				if row.Status != propagator.CheckpointDeprecated {
					kept = append(kept, fmt.Sprintf("%s of action %s is %s", row.ID, action, row.Status))
				}
			}
			if len(kept) > 0 {
				r.giveUp(action)
			}
		}
		return len(kept) == 0, strings.Join(kept, ", "), nil
	})
	r.must(err, "look for checkpoints that are left")
	if env.Backend != settings.BackendLocal {
		return
	}
	// Archives go some time after their checkpoints. One of no action of the propagator would stay for good.
	a := r.raw(env.Token, "GET", "/files/dir/checkpoints", nil)
	var paths []string
	r.must(json.Unmarshal([]byte(a.body), &paths), "read the list of archives from %d %s", a.code, short(a.body))
	actions, err := r.api.Actions(r.ctx, propagator.ActionFilter{})
	r.must(err, "list actions")
	for _, path := range paths {
		r.that(slices.ContainsFunc(actions, func(a propagator.Action) bool { return strings.Contains(path, a.ActionID) }),
			"every archive belongs to an action", path)
	}
}

// rowsOf are the checkpoints of an action, of which there may be none.
func (r *chaosRun) rowsOf(ctx context.Context, action string) ([]propagator.Checkpoint, error) {
	all, err := r.api.Checkpoints(ctx, propagator.CheckpointFilter{ClusterID: env.ClusterID})
	return slices.DeleteFunc(all, func(c propagator.Checkpoint) bool { return info(c).ActionID != action }), err
}

// nothingRuns waits until no node has anything left of the pods that there were.
func (r *chaosRun) nothingRuns() {
	r.Helper()
	if r.machine == nil {
		return
	}
	list, err := kube.CoreV1().Nodes().List(r.ctx, metav1.ListOptions{})
	r.must(err, "list nodes")
	uids := make([]string, 0, len(r.seen))
	for uid := range r.seen {
		uids = append(uids, string(uid))
	}
	for _, node := range list.Items {
		err := wait.For(r.ctx, "nothing of the pods to be left on "+node.Name, leftOver, func(ctx context.Context) (bool, string, error) {
			left, err := r.machine.Left(ctx, node.Name, uids)
			return len(left) == 0, strings.Join(left, "; "), err
		}, wait.Every(time.Second))
		r.must(err, "look for what is left on %s", node.Name)
	}
}

func (r *chaosRun) remember(p *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[p.UID] = p.Spec.NodeName
}

func (r *chaosRun) begun(action string) {
	if action == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, action)
	r.actions = append(r.actions, action)
}
