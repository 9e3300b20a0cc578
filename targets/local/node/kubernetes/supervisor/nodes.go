package supervisor

import (
	"context"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// watchNodes calls seen with all nodes, at first and whenever one comes, goes, or gets another address, until ctx ends. Calls do not
// overlap; one that fails is repeated at the next change or after a second.
func watchNodes(ctx context.Context, client kubernetes.Interface, log *slog.Logger, seen func([]*corev1.Node) error) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default: // one is pending, and it will see this change too
		}
	}
	handle := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		DeleteFunc: func(any) { notify() },
		UpdateFunc: func(before, after any) {
			if addressing(before.(*corev1.Node)) != addressing(after.(*corev1.Node)) {
				notify()
			}
		},
	}
	if _, err := nodes.Informer().AddEventHandler(handle); err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), nodes.Informer().HasSynced) {
		return nil // ctx ended
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		all, err := nodes.Lister().List(labels.Everything())
		if err == nil {
			err = seen(all)
		}
		if err != nil {
			log.Warn("follow nodes: will try again", "error", err)
			go func() {
				if pause(ctx, retryNodes) == nil {
					notify()
				}
			}()
		}
	}
}

const retryNodes = 1e9 // nanoseconds

// addressing is what of a node matters to the pod network.
func addressing(n *corev1.Node) string {
	ip, _ := internalIP(n)
	return n.Spec.PodCIDR + " " + ip.String()
}

// labelServer gives the server's node the role labels that k3s gives it; a kubelet may not do so itself.
func labelServer(ctx context.Context, client kubernetes.Interface, name string) error {
	patch := []byte(`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"true","node-role.kubernetes.io/master":"true"}}}`)
	if _, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("label node %s: %w", name, err)
	}
	return nil
}
