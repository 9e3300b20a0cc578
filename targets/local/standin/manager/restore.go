package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// deleteTimeout is for removing a pod that was not restored, whatever has ended the restore.
const deleteTimeout = 15 * time.Second

// restorer creates restored pods and sees them through.
type restorer struct{ Parts }

// Parts are what a restore is done with.
type Parts struct {
	// Build makes the pod to create for a restore action.
	Build func(action string, r *work.Restore) (*corev1.Pod, error)
	// Check refuses what cannot be restored, before there is a pod.
	Check func(ctx context.Context, r *work.Restore, pod *corev1.Pod) error
	Pods  Pods
	// Follow waits until a created pod is Ready. It returns the pod as last seen, with an error too.
	Follow func(context.Context, *corev1.Pod) (*corev1.Pod, error)
}

// do is one unit of work from start to result.
func (r *restorer) do(ctx context.Context, w *work.Work) worker.Outcome {
	if w.Kind != work.KindRestore || w.Restore == nil {
		return worker.Failed(fmt.Errorf("the manager was given work of kind %q, which it does not do", w.Kind))
	}
	pod, err := r.ensure(ctx, w)
	if err != nil {
		return worker.Failed(refusal.Coded(err))
	}
	pod, err = r.Follow(ctx, pod)
	if err != nil {
		// Left alone it would be tried again and again, and a later success would contradict the action's error.
		err = refusal.Coded(fmt.Errorf("restore pod %s/%s: %w", pod.Namespace, pod.Name, err))
		return worker.Failed(errors.Join(err, r.remove(ctx, pod)))
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
	pod, err := r.Build(w.ActionID, w.Restore)
	if err != nil {
		return nil, err
	}
	made, err := r.Pods.Restored(ctx, pod.Namespace, work.LabelRestore+"="+w.ActionID)
	if err != nil {
		return nil, fmt.Errorf("look for the restored pod in namespace %s: %w", pod.Namespace, err)
	}
	if len(made) > 0 {
		return &made[0], nil
	}
	if err := r.Check(ctx, w.Restore, pod); err != nil {
		return nil, fmt.Errorf("restore pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	names := []string{pod.Name}
	if w.Restore.PodName == "" {
		names = append(names, otherName(pod.Namespace, pod.Name, w.ActionID))
	}
	for _, pod.Name = range names {
		created, createErr := r.Pods.Create(ctx, pod)
		if createErr == nil {
			slog.Info("pod created", "namespace", created.Namespace, "pod", created.Name, "action", w.ActionID)
			return created, nil
		}
		if !apierrors.IsAlreadyExists(createErr) {
			return nil, fmt.Errorf("create pod %s/%s: %w", pod.Namespace, pod.Name, createErr)
		}
		there, getErr := r.Pods.Get(ctx, pod.Namespace, pod.Name)
		if getErr == nil && there.Labels[work.LabelRestore] == w.ActionID {
			return there, nil
		}
		err = createErr
	}
	return nil, fmt.Errorf("create pod %s/%s: %w", pod.Namespace, pod.Name, err)
}

// remove deletes a pod, also when the work is being given up.
func (r *restorer) remove(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(deleteTimeout))
	defer cancel()
	err := r.Pods.Delete(ctx, pod)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // a conflict: another pod has the name by now
	}
	return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
}
