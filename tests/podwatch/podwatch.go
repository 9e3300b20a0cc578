// Package podwatch follows the pods of one namespace through one watch. It knows their state without asking for it, and
// remembers every change, so that a pod that was not Ready for a moment between two looks is seen all the same.
package podwatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/cedana/cedana-e2e/tests/pods"
)

// Observation is one state of one pod, at the time when this process heard of it.
type Observation struct {
	At       time.Time
	UID      types.UID
	Name     string
	Ready    bool
	Restarts int32
	Gone     bool
	State    string
}

func (o Observation) String() string {
	return fmt.Sprintf("%s pod %s (%s): %s", o.At.UTC().Format("15:04:05.000"), o.Name, o.UID, o.State)
}

// Watch is what is known of a namespace's pods.
type Watch struct {
	mu      sync.Mutex
	pods    map[types.UID]*corev1.Pod
	history []Observation
}

// Start watches a namespace until ctx ends, and returns when the watch is up.
func Start(ctx context.Context, client kubernetes.Interface, namespace string) (*Watch, error) {
	w := &Watch{pods: map[types.UID]*corev1.Pod{}}
	informer := informers.NewPodInformer(client, namespace, 0, cache.Indexers{})
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.see(o, false) },
		UpdateFunc: func(_, o any) { w.see(o, false) },
		DeleteFunc: func(o any) { w.see(o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch pods in %s: %w", namespace, err)
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return nil, fmt.Errorf("watch pods in %s: %w", namespace, context.Cause(ctx))
	}
	return w, nil
}

func (w *Watch) see(object any, gone bool) {
	if t, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = t.Obj
	}
	p, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	o := Observation{
		At: time.Now(), UID: p.UID, Name: p.Name, Gone: gone,
		Ready: !gone && pods.IsReady(p), Restarts: pods.Restarts(p), State: pods.Describe(p),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if gone {
		o.State = "gone"
		delete(w.pods, p.UID)
	} else {
		w.pods[p.UID] = p
	}
	w.history = append(w.history, o)
}

// Get is the pod with the UID, nil when it is not there.
func (w *Watch) Get(uid types.UID) *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pods[uid]
}

// List is every pod that is there, by name.
func (w *Watch) List() []*corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*corev1.Pod
	for _, p := range w.pods {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// History is everything that was seen, oldest first.
func (w *Watch) History() []Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.history)
}

// ReadyAt is when a pod was first seen Ready; zero when it never was.
func (w *Watch) ReadyAt(uid types.UID) time.Time {
	for _, o := range w.History() {
		if o.UID == uid && o.Ready {
			return o.At
		}
	}
	return time.Time{}
}

// Unsteady is the first observation since a time in which the pod was not Ready, gone, or had restarted; nil when there
// is none.
func (w *Watch) Unsteady(uid types.UID, since time.Time) *Observation {
	for _, o := range w.History() {
		if o.UID == uid && !o.At.Before(since) && (!o.Ready || o.Gone || o.Restarts > 0) {
			return &o
		}
	}
	return nil
}
