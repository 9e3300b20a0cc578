package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
)

// deleteTimeout is for removing a pod that was not restored, whatever has ended the restore.
const deleteTimeout = 15 * time.Second

// restorer creates restored pods and sees them through.
type restorer struct {
	pods pods
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

// do is one unit of work from start to result.
func (r *restorer) do(ctx context.Context, w *work.Work) worker.Outcome {
	if w.Kind != work.KindRestore || w.Restore == nil {
		return worker.Failed(fmt.Errorf("the manager was given work of kind %q, which it does not do", w.Kind))
	}
	if w.Regression.Is(fault.NoPod, slog.Default()) {
		return worker.Outcome{Result: work.Result{PodName: "none"}}
	}
	pod, err := r.ensure(ctx, w)
	if err != nil {
		return worker.Failed(err)
	}
	if w.Regression.Is(fault.ReadyTooEarly, slog.Default()) {
		return worker.Outcome{Result: work.Result{PodName: pod.Name, NodeName: pod.Spec.NodeName}}
	}
	pod, err = r.follow(ctx, pod)
	if err != nil {
		// Left alone it would be tried again and again, and a later success would contradict the action's error.
		return worker.Failed(errors.Join(fmt.Errorf("restore pod %s/%s: %w", pod.Namespace, pod.Name, err), r.remove(ctx, pod)))
	}
	return worker.Outcome{
		Result: work.Result{PodName: pod.Name, NodeName: pod.Spec.NodeName},
		Undo: func(ctx context.Context) {
			if err := r.remove(ctx, pod); err != nil {
				slog.Error("removing a pod that was restored too late failed", "namespace", pod.Namespace, "pod", pod.Name, "error", err)
			}
		},
	}
}

// ensure returns the pod of a restore action: the one that is there, made by another replica or before a restart, or a
// new one.
func (r *restorer) ensure(ctx context.Context, w *work.Work) (*corev1.Pod, error) {
	pod, err := restoredPod(w.ActionID, w.Restore)
	if err != nil {
		return nil, err
	}
	misbehave(pod, w)
	made, err := r.pods.Restored(ctx, pod.Namespace, work.LabelRestore+"="+w.ActionID)
	if err != nil {
		return nil, fmt.Errorf("look for the restored pod in namespace %s: %w", pod.Namespace, err)
	}
	if len(made) > 0 {
		return &made[0], nil
	}
	names := []string{pod.Name}
	if w.Restore.PodName == "" {
		names = append(names, otherName(pod.Namespace, pod.Name, w.ActionID))
	}
	for _, pod.Name = range names {
		created, createErr := r.pods.Create(ctx, pod)
		if createErr == nil {
			if w.Regression.Is(fault.TwoPods, slog.Default()) {
				return created, r.twin(ctx, pod)
			}
			slog.Info("pod created", "namespace", created.Namespace, "pod", created.Name, "action", w.ActionID)
			return created, nil
		}
		if !apierrors.IsAlreadyExists(createErr) {
			return nil, fmt.Errorf("create pod %s/%s: %w", pod.Namespace, pod.Name, createErr)
		}
		there, getErr := r.pods.Get(ctx, pod.Namespace, pod.Name)
		if getErr == nil && there.Labels[work.LabelRestore] == w.ActionID {
			return there, nil
		}
		err = createErr
	}
	return nil, fmt.Errorf("create pod %s/%s: %w", pod.Namespace, pod.Name, err)
}

// follow waits until a pod is Ready; it returns the pod as last seen, with an error too.
func (r *restorer) follow(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, errTimeout)
	defer cancel()
	f := r.start(pod)
	defer r.stop(pod.UID)
	for {
		pod, gone := r.seen(f)
		ready, failure, state := outcome(pod)
		switch {
		case gone:
			return pod, errors.New("it was deleted by someone else")
		case failure != "":
			return pod, errors.New(failure)
		case ready:
			return pod, nil
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, errTimeout) {
				cause = fmt.Errorf("not Ready after %s", r.timeout)
			}
			return pod, fmt.Errorf("%w; last state: %s", cause, state)
		}
	}
}

var errTimeout = errors.New("timeout")

func (r *restorer) start(pod *corev1.Pod) *followed {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	f := &followed{changed: make(chan struct{}, 1), pod: pod}
	if r.followed == nil {
		r.followed = map[types.UID]*followed{}
	}
	r.followed[pod.UID] = f
	return f
}

func (r *restorer) stop(uid types.UID) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.followed, uid)
}

func (r *restorer) seen(f *followed) (*corev1.Pod, bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return f.pod, f.gone
}

// handler takes the pod informer's events.
func (r *restorer) handler() cache.ResourceEventHandler {
	note := func(object any, gone bool) {
		if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = unknown.Obj
		}
		if pod, ok := object.(*corev1.Pod); ok && pod.Labels[work.LabelRestore] != "" {
			r.note(pod, gone)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { note(object, false) },
		UpdateFunc: func(_, object any) { note(object, false) },
		DeleteFunc: func(object any) { note(object, true) },
	}
}

func (r *restorer) note(pod *corev1.Pod, gone bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	f, ok := r.followed[pod.UID]
	if !ok {
		return
	}
	f.pod, f.gone = pod, gone
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// remove deletes a pod, also when the work is being given up.
func (r *restorer) remove(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	err := r.pods.Delete(ctx, pod)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // a conflict: another pod has the name by now
	}
	return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
}
