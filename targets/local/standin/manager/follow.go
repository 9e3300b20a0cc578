package manager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// follower sees restored pods through, by what the watch says of them.
type follower struct {
	// timeout is how long a pod may take to be Ready.
	timeout time.Duration

	mutex sync.Mutex
	// followed are the pods being restored, by UID.
	followed map[types.UID]*followed
}

// followed is what the watch has last said about a pod.
type followed struct {
	changed chan struct{} // holds one element when there is something new
	pod     *corev1.Pod
	gone    bool
}

// follow waits until a pod is Ready; it returns the pod as last seen, with an error too.
func (f *follower) follow(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, errTimeout)
	defer cancel()
	one := f.start(pod)
	defer f.stop(pod.UID)
	for {
		pod, gone := f.seen(one)
		ready, failure, state := outcome(pod)
		switch {
		case gone:
			return pod, errors.New("it was deleted by someone else")
		case failure != "" && imageMissing(pod):
			return pod, refusal.New(refusal.ImageMissing, "%s", failure)
		case failure != "":
			return pod, errors.New(failure)
		case ready:
			return pod, nil
		}
		select {
		case <-one.changed:
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, errTimeout) {
				cause = fmt.Errorf("not Ready after %s", f.timeout)
			}
			return pod, fmt.Errorf("%w; last state: %s", cause, state)
		}
	}
}

var errTimeout = errors.New("timeout")

func (f *follower) start(pod *corev1.Pod) *followed {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	one := &followed{changed: make(chan struct{}, 1), pod: pod}
	if f.followed == nil {
		f.followed = map[types.UID]*followed{}
	}
	f.followed[pod.UID] = one
	return one
}

func (f *follower) stop(uid types.UID) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.followed, uid)
}

func (f *follower) seen(one *followed) (*corev1.Pod, bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return one.pod, one.gone
}

// handler takes the pod informer's events.
func (f *follower) handler() cache.ResourceEventHandler {
	note := func(object any, gone bool) {
		if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = unknown.Obj
		}
		if pod, ok := object.(*corev1.Pod); ok && pod.Labels[work.LabelRestore] != "" {
			f.note(pod, gone)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { note(object, false) },
		UpdateFunc: func(_, object any) { note(object, false) },
		DeleteFunc: func(object any) { note(object, true) },
	}
}

func (f *follower) note(pod *corev1.Pod, gone bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	one, ok := f.followed[pod.UID]
	if !ok {
		return
	}
	one.pod, one.gone = pod, gone
	select {
	case one.changed <- struct{}{}:
	default:
	}
}
