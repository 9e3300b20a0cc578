package chaos

import (
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Excuses reports whether a task may fail because of a disruption. there says that its pod was on the node of the disruption.
func Excuses(t Disruption, kind Kind, there bool) bool {
	restores := kind == Restore || kind == Cycle
	switch t {
	case KillHelper, KillHelperFrozen:
		// A cycle may have come to that node with its first restore.
		return there || kind == Cycle
	case KillNode:
		// A restore may have been placed on that node.
		return there || restores
	case KillPropagator:
		return true
	}
	return false
}

func nothing() error { return nil }

func (r *Run) strikeAfter(after time.Duration, t Disruption, node string) (repair func() error, err error) {
	if err := sleep(r.Ctx, after); err != nil {
		return nothing, err
	}
	return r.strike(t, node)
}

// strike makes a disruption and returns what ends it.
func (r *Run) strike(t Disruption, node string) (repair func() error, err error) {
	switch t {
	case KillHelper:
		helper, err := r.nodes.Helper(r.Ctx, node)
		if err != nil {
			return nothing, err
		}
		return func() error { return r.nodes.ReplaceHelper(r.Ctx, node) }, r.nodes.KillPod(r.Ctx, node, string(helper.UID))
	case KillNode:
		killed := time.Now()
		if err := r.nodes.Kill(r.Ctx, node); err != nil {
			return nothing, err
		}
		return func() error { return r.nodeReturns(node, killed) }, r.nodes.Delete(r.Ctx, node)
	case Cordon:
		return func() error { return r.nodes.Cordon(r.Ctx, node, false) }, r.nodes.Cordon(r.Ctx, node, true)
	case KillPropagator:
		if err := r.server.Kill(r.Ctx); err != nil {
			return nothing, err
		}
		// Down for long enough to be missed.
		if err := sleep(r.Ctx, 500*time.Millisecond); err != nil {
			return nothing, err
		}
		return func() error { return r.server.Ping(r.Ctx) }, r.server.Start(r.Ctx)
	}
	return nothing, nil
}

// killFrozen prepares to kill the helper of a node at the moment at which it holds a pod still. It is on the watch before
// the round's tasks begin. Where none of them takes a checkpoint on the node, the helper is killed at the round's time.
func (r *Run) killFrozen(round Round, node string, where map[int]string) func() (func() error, error) {
	r.Helper()
	plain := func() (func() error, error) { return r.strikeAfter(round.After, KillHelper, node) }
	i := slices.IndexFunc(round.Tasks, func(d Task) bool { return d.Kind != Restore && where[d.Pod] == node })
	if i < 0 {
		return plain
	}
	helper, err := r.nodes.Helper(r.Ctx, node)
	r.Must(err, "find the helper to kill")
	frozen := r.pods[round.Tasks[i].Pod].pod
	ended, err := r.nodes.KillWhenFrozen(r.Ctx, node, string(frozen.UID), string(helper.UID), r.budget.Frozen)
	r.Must(err, "watch for the freeze to kill helper %s on %s", helper.Name, node)
	return func() (func() error, error) {
		if err := <-ended; err != nil {
			r.Logf("%v", err)
			return plain()
		}
		r.killedFrozen.Add(1)
		return func() error { return r.nodes.ReplaceHelper(r.Ctx, node) }, nil
	}
}

// nodeReturns forgets the pods of a dead node, starts it and waits until it can be used again.
func (r *Run) nodeReturns(node string, killed time.Time) error {
	at := int64(0)
	list, err := r.Kube.CoreV1().Pods(r.Namespace).List(r.Ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return fmt.Errorf("list pods of node %s: %w", node, err)
	}
	for _, p := range list.Items {
		err := r.Kube.CoreV1().Pods(r.Namespace).Delete(r.Ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &at})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete pod %s of a dead node: %w", p.Name, err)
		}
	}
	if err := r.nodes.Return(r.Ctx, node, killed); err != nil {
		return err
	}
	// Its helper's container has ended with the node, and counts as one that ended by itself.
	return r.nodes.ReplaceHelper(r.Ctx, node)
}
