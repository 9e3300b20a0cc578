// Package nodes takes nodes away and brings them back, and the helpers on them: cordon, kill, wait until usable again.
package nodes

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Settle is how long a machine may take to come back: its control plane or kubelet, and what runs on it.
const Settle = 90 * time.Second

// Nodes are those of one k3d cluster.
type Nodes struct {
	*Machines
	kube kubernetes.Interface
	// cedana is the namespace of the helpers.
	cedana string
}

// Connect reaches the nodes of a k3d cluster, whose helpers are in a namespace.
func Connect(ctx context.Context, kube kubernetes.Interface, cluster, cedanaNamespace string) (*Nodes, error) {
	m, err := connect(ctx, cluster)
	if err != nil {
		return nil, fmt.Errorf("reach the containers of the nodes: %w", err)
	}
	return &Nodes{Machines: m, kube: kube, cedana: cedanaNamespace}, nil
}

// Cordon sets whether the scheduler may use a node.
func (n *Nodes) Cordon(ctx context.Context, node string, closed bool) error {
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, closed)
	_, err := n.kube.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("set unschedulable=%t of node %s: %w; `kubectl uncordon %s` makes it take pods again", closed, node, err, node)
	}
	return nil
}

// Delete takes a dead node out of the cluster, as the controller of a cloud does when its instance is gone.
func (n *Nodes) Delete(ctx context.Context, node string) error {
	err := n.kube.CoreV1().Nodes().Delete(ctx, node, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", node, err)
	}
	return nil
}

// Return starts the machine of a node that was killed at a time, unless it runs, and waits until the node is Ready again.
func (n *Nodes) Return(ctx context.Context, node string, killed time.Time) error {
	if err := n.Start(ctx, node); err != nil {
		return err
	}
	return wait.For(ctx, fmt.Sprintf("node %s to be Ready again", node), stretch.Limit(Settle), func(ctx context.Context) (bool, string, error) {
		now, err := n.kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			// It registers again, and until then the API may not know it.
			return false, err.Error(), nil
		}
		return IsReady(now) && !heartbeatBefore(now, killed), Describe(now), nil
	})
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

// IsReady reports whether a node's Ready condition is true.
func IsReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// Describe is a node's state in one line.
func Describe(n *corev1.Node) string {
	text := fmt.Sprintf("unschedulable=%t", n.Spec.Unschedulable)
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			text += fmt.Sprintf(", Ready=%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	return text
}

// Cedana are Cedana's pods of a component on a node.
func (n *Nodes) Cedana(ctx context.Context, component, node string) ([]corev1.Pod, error) {
	list, err := n.kube.CoreV1().Pods(n.cedana).List(ctx, metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/component=" + component, FieldSelector: "spec.nodeName=" + node,
	})
	if err != nil {
		return nil, fmt.Errorf("list Cedana's pods on %s: %w", node, err)
	}
	return list.Items, nil
}

// Helper is the one helper of a node.
func (n *Nodes) Helper(ctx context.Context, node string) (*corev1.Pod, error) {
	list, err := n.Cedana(ctx, "helper", node)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("node %s has %d helpers, want 1", node, len(list))
	}
	return &list[0], nil
}

// ReplaceHelper deletes the helper of a node and waits until another is Ready in its place. After a kill that is needed:
// the next end of a container that has ended once would make the kubelet wait, longer each time, before it starts it again.
func (n *Nodes) ReplaceHelper(ctx context.Context, node string) error {
	old, err := n.Helper(ctx, node)
	if err != nil {
		return err
	}
	err = n.kube.CoreV1().Pods(old.Namespace).Delete(ctx, old.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &old.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete helper %s: %w", old.Name, err)
	}
	return n.helperReady(ctx, node, old.UID)
}

// HelperReady waits until a node has a helper that is Ready and whose containers have not ended since.
func (n *Nodes) HelperReady(ctx context.Context, node string) error {
	return n.helperReady(ctx, node, "")
}

func (n *Nodes) helperReady(ctx context.Context, node string, not types.UID) error {
	return wait.For(ctx, "a helper on node "+node+" to be Ready", stretch.Limit(Settle), func(ctx context.Context) (bool, string, error) {
		p, err := n.Helper(ctx, node)
		if err != nil {
			return false, err.Error(), nil
		}
		running := !slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running == nil })
		return p.UID != not && running && pods.IsReady(p), pods.Describe(p), nil
	})
}

// Moving waits until no process of a pod on a node is held still.
func (n *Nodes) Moving(ctx context.Context, node string, p *corev1.Pod, within time.Duration) error {
	return wait.For(ctx, fmt.Sprintf("every cgroup of pod %s on %s to be thawed", p.Name, node), within, func(ctx context.Context) (bool, string, error) {
		frozen, err := n.Frozen(ctx, node, string(p.UID))
		return len(frozen) == 0, fmt.Sprint(frozen), err
	})
}

// Restore returns a node that was killed at a time to how it was before: Ready, and with a helper that never ended.
func (n *Nodes) Restore(ctx context.Context, node string, killed time.Time) error {
	if err := n.Return(ctx, node, killed); err != nil {
		return err
	}
	if err := n.HelperReady(ctx, node); err != nil {
		return err
	}
	return n.ReplaceHelper(ctx, node)
}
