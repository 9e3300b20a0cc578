package manager

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// restClient speaks core/v1 alone. The full clientset would register every API group in this binary, which is also the
// runtime that containerd starts several times a container.
func restClient(config *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register core types: %w", err)
	}
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	c := rest.CopyConfig(config)
	c.GroupVersion = &corev1.SchemeGroupVersion
	c.APIPath = "/api"
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	// The informers' own limits are enough: a slow start would cost every restore.
	c.QPS, c.Burst = 100, 200
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("make kubernetes client: %w", err)
	}
	return client, nil
}

// Pods is what the manager does to pods.
type Pods interface {
	Create(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error)
	Get(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	// Delete removes exactly the pod with that UID, at once.
	Delete(ctx context.Context, pod *corev1.Pod) error
	// Restored lists the pods that a restore action has made.
	Restored(ctx context.Context, namespace, selector string) ([]corev1.Pod, error)
}

type podAPI struct{ client rest.Interface }

func (a podAPI) Create(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	out := &corev1.Pod{}
	err := a.client.Post().Namespace(pod.Namespace).Resource("pods").Body(pod).Do(ctx).Into(out)
	return out, err
}

func (a podAPI) Get(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	out := &corev1.Pod{}
	err := a.client.Get().Namespace(namespace).Resource("pods").Name(name).Do(ctx).Into(out)
	return out, err
}

func (a podAPI) Delete(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	return a.client.Delete().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).Body(&metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	}).Do(ctx).Error()
}

func (a podAPI) Restored(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	out := &corev1.PodList{}
	err := a.client.Get().Namespace(namespace).Resource("pods").Param("labelSelector", selector).Do(ctx).Into(out)
	return out.Items, err
}

// informer watches one kind of object in the whole cluster.
func informer(client cache.Getter, resource string, object runtime.Object) cache.SharedIndexInformer {
	const noResync = 0 * time.Second
	source := cache.NewListWatchFromClient(client, resource, metav1.NamespaceAll, fields.Everything())
	return cache.NewSharedIndexInformer(source, object, noResync, cache.Indexers{})
}

// trim drops what nobody reads and every update sends again.
func trim(object any) (any, error) {
	if meta, ok := object.(metav1.Object); ok {
		meta.SetManagedFields(nil)
	}
	return object, nil
}
