package manager

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"

	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// objects is what is asked about the cluster before a restore.
type objects interface {
	// Exists is nil when there is an object of that kind.
	Exists(ctx context.Context, namespace, resource, name string) error
	RuntimeClassExists(ctx context.Context, name string) error
	// Admit is the pod as it would be created.
	Admit(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error)
}

type objectAPI struct{ client rest.Interface }

func (a objectAPI) Exists(ctx context.Context, namespace, resource, name string) error {
	return a.client.Get().Namespace(namespace).Resource(resource).Name(name).Do(ctx).Error()
}

func (a objectAPI) RuntimeClassExists(ctx context.Context, name string) error {
	return a.client.Get().AbsPath("/apis/node.k8s.io/v1/runtimeclasses", name).Do(ctx).Error()
}

func (a objectAPI) Admit(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	out := &corev1.Pod{}
	err := a.client.Post().Namespace(pod.Namespace).Resource("pods").Param("dryRun", metav1.DryRunAll).Body(pod).Do(ctx).Into(out)
	return out, err
}

// checker refuses restores that the cluster has no place for. What only the node can tell is the runtime's to refuse.
type checker struct {
	objects objects
	nodes   cache.Store
}

func (c checker) check(ctx context.Context, r *work.Restore, pod *corev1.Pod) error {
	if err := c.architecture(r.Containers); err != nil {
		return err
	}
	// Side by side: a pod waits for it.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.admitted(ctx, r.Containers, pod) })
	for _, v := range wantedBy(pod) {
		group.Go(func() error { return c.there(ctx, pod.Namespace, v) })
	}
	return group.Wait()
}

// architecture wants a node of the checkpoint's own. On which node the pod will be is not known yet.
func (c checker) architecture(containers []work.ContainerCheckpoint) error {
	var there []string
	for _, object := range c.nodes.List() {
		there = append(there, object.(*corev1.Node).Status.NodeInfo.Architecture)
	}
	slices.Sort(there)
	for _, container := range containers {
		if err := refusal.OfAnother(container, "every node of the cluster", slices.Compact(there)...); err != nil {
			return err
		}
	}
	return nil
}

// oneSecondApart are the tries at an API server that is busy: it gives a request 34 s, which a slow machine may need more than once.
var oneSecondApart = wait.Backoff{Steps: 3, Duration: time.Second, Factor: 1}

// busy is what the API server says that may answer the same request later.
func busy(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err)
}

// admitted sees what the API server makes of the pod: a LimitRange or a webhook may change its limits, and without the
// runtime class there is none.
func (c checker) admitted(ctx context.Context, containers []work.ContainerCheckpoint, pod *corev1.Pod) error {
	trial := pod.DeepCopy()
	trial.Name, trial.GenerateName = "", "cedana-restore-" // its own name may be taken
	var admitted *corev1.Pod
	err := retry.OnError(oneSecondApart, busy, func() (err error) {
		admitted, err = c.objects.Admit(ctx, trial)
		return err
	})
	if apierrors.IsForbidden(err) && pod.Spec.RuntimeClassName != nil {
		if class := *pod.Spec.RuntimeClassName; apierrors.IsNotFound(c.objects.RuntimeClassExists(ctx, class)) {
			return refusal.New(refusal.RuntimeClassMissing, "there is no runtime class %s, which Cedana's chart makes: install it again (helm upgrade)", class)
		}
	}
	if err != nil {
		return fmt.Errorf("try to create the pod: %w", err)
	}
	limits := map[string]int64{}
	for _, spec := range slices.Concat(admitted.Spec.InitContainers, admitted.Spec.Containers) {
		limits[spec.Name] = spec.Resources.Limits.Memory().Value()
	}
	for _, container := range containers {
		needs, err := refusal.NeedsOf(container)
		if err == nil {
			err = needs.LackOfMemory(container.Container, limits[container.Container])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted is an object that a pod's volume is made of.
type wanted struct{ volume, kind, resource, name string }

func (c checker) there(ctx context.Context, namespace string, w wanted) error {
	err := c.objects.Exists(ctx, namespace, w.resource, w.name)
	if apierrors.IsNotFound(err) {
		return refusal.New(refusal.VolumeMissing, "volume %s of the pod is made of the %s %s, which is not in namespace %s any more: make it again",
			w.volume, w.kind, w.name, namespace)
	}
	if err != nil {
		return fmt.Errorf("look for %s %s/%s of volume %s: %w", w.kind, namespace, w.name, w.volume, err)
	}
	return nil
}

// wantedBy are the objects without which a pod's volumes cannot be made.
func wantedBy(pod *corev1.Pod) (all []wanted) {
	add := func(volume, kind, resource, name string, optional *bool) {
		if optional == nil || !*optional {
			all = append(all, wanted{volume, kind, resource, name})
		}
	}
	for _, v := range pod.Spec.Volumes {
		var projections []corev1.VolumeProjection
		switch {
		case v.PersistentVolumeClaim != nil:
			add(v.Name, "persistent volume claim", "persistentvolumeclaims", v.PersistentVolumeClaim.ClaimName, nil)
		case v.ConfigMap != nil:
			add(v.Name, "config map", "configmaps", v.ConfigMap.Name, v.ConfigMap.Optional)
		case v.Secret != nil:
			add(v.Name, "secret", "secrets", v.Secret.SecretName, v.Secret.Optional)
		case v.Projected != nil:
			projections = v.Projected.Sources
		}
		for _, p := range projections {
			switch {
			case p.ConfigMap != nil:
				add(v.Name, "config map", "configmaps", p.ConfigMap.Name, p.ConfigMap.Optional)
			case p.Secret != nil:
				add(v.Name, "secret", "secrets", p.Secret.Name, p.Secret.Optional)
			}
		}
	}
	return all
}
