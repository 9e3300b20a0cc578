package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// syncers is how many resources are reported side by side: a pod that was just created must not wait behind the status
// changes of a hundred others.
const syncers = 4

// resourceKey names what is to be reported. By UID: a pod and its successor of the same name are two.
type resourceKey struct {
	kind string
	uid  types.UID
}

// reporter tells the propagator of every pod and node. Changes of one resource that come faster than they can be told
// become one.
type reporter struct {
	clusterID string
	sync      func(context.Context, propagator.ClusterSyncRequest) error
	queue     workqueue.TypedRateLimitingInterface[resourceKey]

	mutex  sync.Mutex
	latest map[resourceKey]change
}

type change struct {
	object  metav1.Object
	deleted bool
}

func newReporter(clusterID string, sync func(context.Context, propagator.ClusterSyncRequest) error) *reporter {
	return &reporter{
		clusterID: clusterID, sync: sync, latest: map[resourceKey]change{},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[resourceKey](50*time.Millisecond, 5*time.Second)),
	}
}

// handler takes an informer's events.
func (r *reporter) handler(kind string) cache.ResourceEventHandler {
	note := func(object any, deleted bool) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		meta, ok := object.(metav1.Object)
		if !ok {
			return
		}
		r.note(resourceKey{kind, meta.GetUID()}, change{meta, deleted})
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { note(object, false) },
		UpdateFunc: func(old, now any) {
			if was, is := old.(metav1.Object), now.(metav1.Object); was.GetUID() != is.GetUID() {
				note(old, true) // deleted and made again while the watch was broken off
			}
			if worthTelling(old, now) {
				note(now, false)
			}
		},
		DeleteFunc: func(object any) { note(object, true) },
	}
}

func (r *reporter) note(key resourceKey, c change) {
	r.mutex.Lock()
	r.latest[key] = c
	r.mutex.Unlock()
	r.queue.Add(key)
}

// worthTelling is false for a node's heartbeat.
func worthTelling(old, now any) bool {
	was, ok1 := old.(*corev1.Node)
	is, ok2 := now.(*corev1.Node)
	if !ok1 || !ok2 {
		return true
	}
	return was.UID != is.UID || nodeReady(was) != nodeReady(is) || was.Spec.Unschedulable != is.Spec.Unschedulable
}

func nodeReady(n *corev1.Node) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, r.queue.ShutDown)
	defer stop()
	var running sync.WaitGroup
	for range syncers {
		running.Go(func() {
			for r.one(ctx) {
			}
		})
	}
	running.Wait()
}

func (r *reporter) one(ctx context.Context) bool {
	key, stopped := r.queue.Get()
	if stopped {
		return false
	}
	defer r.queue.Done(key)
	r.mutex.Lock()
	c, ok := r.latest[key]
	delete(r.latest, key)
	r.mutex.Unlock()
	if !ok {
		return true
	}
	if err := r.tell(ctx, key.kind, c.object, c.deleted); err != nil {
		if ctx.Err() != nil {
			return true
		}
		slog.Warn("reporting to the propagator failed, trying again", "kind", key.kind,
			"namespace", c.object.GetNamespace(), "name", c.object.GetName(), "error", err)
		r.mutex.Lock()
		if _, newer := r.latest[key]; !newer {
			r.latest[key] = c
		}
		r.mutex.Unlock()
		r.queue.AddRateLimited(key)
		return true
	}
	r.queue.Forget(key)
	return true
}

func (r *reporter) tell(ctx context.Context, kind string, object metav1.Object, deleted bool) error {
	resource, err := tagged(kind, object)
	if err != nil {
		return err
	}
	metadata, err := json.Marshal(work.SyncMetadata{Deleted: deleted})
	if err != nil {
		return fmt.Errorf("encode sync metadata: %w", err)
	}
	return r.sync(ctx, propagator.ClusterSyncRequest{ClusterID: r.clusterID, Resource: resource, Metadata: metadata})
}

// tagged is the object's JSON with its "type", and the kind that an informer's objects have lost.
func tagged(kind string, object metav1.Object) (json.RawMessage, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", kind, object.GetName(), err)
	}
	if len(raw) < 2 || raw[0] != '{' {
		return nil, errors.New("encode " + kind + ": not an object")
	}
	head := fmt.Sprintf(`{"type":%q,"kind":%q,"apiVersion":"v1",`, kind, kind)
	return append([]byte(head), raw[1:]...), nil
}
