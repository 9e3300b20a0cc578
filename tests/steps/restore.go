package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Steady is how long a restored pod has to stay Ready.
const Steady = 5 * time.Second

// Restored is a pod that a restore made.
type Restored struct {
	*corev1.Pod
	Operation Operation
	From      *Checkpoint
	// Asked and ReadyAt are when the restore was requested and when its pod was first seen Ready.
	Asked, ReadyAt time.Time
	// others are the pods that were there before.
	others map[types.UID]bool
}

// Took is the time from the request to the pod's being Ready.
func (r *Restored) Took() time.Duration { return r.ReadyAt.Sub(r.Asked) }

// Restore restores a checkpoint, waits until the new pod is Ready, and checks that it is the one new pod and has what
// describes it. Whether the pod stays Ready is for Settle, whether its state is the old one for the checks.
func (s *Steps) Restore(c *Checkpoint) *Restored {
	s.Helper()
	r := &Restored{From: c, others: s.Present()}
	defer s.Step(report.StepRestore, "pod "+c.Pod.Name)()
	r.Asked = time.Now()
	var err error
	r.Operation, err = s.System.Restore(s.Ctx, c.Operation, c.Pod)
	s.Must(err, "restore pod %s from action %s", c.Pod.Name, c.Operation)
	s.Facts.Restore = r.Operation.String()
	s.Began(r.Operation)

	r.Pod = s.newPod(r)
	r.ReadyAt = s.Pods.ReadyAt(r.UID)
	listed := s.listed(r.Operation, true)
	if s.System.Can().RestoreDetails {
		fixture.Equal(s, "the node of restore action "+r.Operation.String(), r.Spec.NodeName, listed.Node)
		s.Check(restoredFrom(listed, c.Records))
	}
	s.Check(checks.SameImages(c.ran, r.Pod))
	// Of the first generation: what the system has put on a restored pod is the system's to change.
	origin := s.origin(c.Pod)
	s.descends(r.Pod, origin)
	if lost := checks.Lost(origin, r.Pod); len(lost) > 0 {
		s.Unexpected("the restored pod has what describes its original: labels, annotations, environment, limits, and how it is scheduled, run and ended", "lost: "+strings.Join(lost, "; "))
	}
	return r
}

// restoredFrom is nil when a restore names a checkpoint of those that it was to restore.
func restoredFrom(restore Status, records []Record) error {
	var ids []string
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	named := len(restore.Checkpoints) > 0 && !slices.ContainsFunc(restore.Checkpoints, func(id string) bool { return !slices.Contains(ids, id) })
	return fixture.Expect(named, fmt.Sprintf("the checkpoint of restore action %s is one of %s", restore.Operation, strings.Join(ids, ", ")), restore.Checkpoints)
}

// RestoredByCreation waits until a pod is Ready that was created with a declaration of a checkpoint. Nobody was asked to
// restore it.
func (s *Steps) RestoredByCreation(c *Checkpoint, p *corev1.Pod) *Restored {
	s.Helper()
	r := &Restored{From: c, Asked: time.Now()}
	r.Pod = s.Ready(p)
	r.ReadyAt = s.Pods.ReadyAt(r.UID)
	return r
}

// newPod waits for the one new pod to be Ready. A restore that ends in error ends the wait.
func (s *Steps) newPod(r *Restored) *corev1.Pod {
	s.Helper()
	// Beside the wait, because a server may hold the answer back until the operation has moved on.
	ctx, cancel := context.WithCancel(s.Ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.System.Wait(ctx, r.Operation) }()
	action := "under way"
	defer func() {
		cancel()
		if action == "under way" {
			<-ended
		}
	}()
	var found *corev1.Pod
	err := wait.For(s.Ctx, fmt.Sprintf("a pod restored from %s to be Ready", r.From.Pod.Name), s.Env.RestoreTimeout.Duration, func(context.Context) (bool, string, error) {
		p, err := pods.Restored(r.From.Pod.Name, r.others, s.Pods.List())
		state := fmt.Sprintf("%s; restore action %s", pods.Describe(p), action)
		if err != nil {
			return false, state, err
		}
		if p != nil {
			s.About(p)
			found = p
			if pods.IsReady(p) {
				return true, state, nil
			}
		}
		select {
		case err := <-ended:
			action = "ready"
			var failed *FailedError
			if errors.As(err, &failed) {
				return false, state, failed
			}
			if err != nil {
				// Not what is waited for: whether the action is in the list, and how it ended, is asked afterwards.
				action = err.Error()
			} else if err := s.readyAlready(found); err != nil {
				return false, state, err
			}
		default:
		}
		return false, state, nil
	}, wait.Every(fixture.Look))
	s.Must(err, "restore pod %s", r.From.Pod.Name)
	return found
}

// readyAlready asks the API about the pod of a restore that has ended well: the watch may be behind.
func (s *Steps) readyAlready(p *corev1.Pod) error {
	if p == nil || !s.System.Can().ReadyPod {
		return nil
	}
	now, err := s.Kube.CoreV1().Pods(p.Namespace).Get(s.Ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !pods.IsReady(now) {
		return fmt.Errorf("the restore action is ready before its pod is: %s", pods.Describe(now))
	}
	return nil
}

// Settle waits until a restored pod has been Ready for 5 s without a moment's break or a restart, and checks that the
// restore made no other pod.
func (s *Steps) Settle(r *Restored) {
	s.Helper()
	s.StaysReady(r, Steady)
	s.Alone(r)
}

// StaysReady waits until a restored pod has been Ready for so long without a moment's break or a restart; 0 means until now.
func (s *Steps) StaysReady(r *Restored, long time.Duration) {
	s.Helper()
	s.About(r.Pod)
	defer s.Step(report.StepSteady, "pod "+r.Name)()
	s.Steady(r.Pod, r.ReadyAt, long)
}

// Alone checks that a restored pod is the one pod that its restore made, Ready and never restarted.
func (s *Steps) Alone(r *Restored) {
	s.Helper()
	list, err := s.Kube.CoreV1().Pods(s.Namespace).List(s.Ctx, metav1.ListOptions{})
	s.Must(err, "list pods")
	var now []*corev1.Pod
	for i := range list.Items {
		now = append(now, &list.Items[i])
	}
	p, err := pods.Restored(r.From.Pod.Name, r.others, now)
	s.Must(err, "count the pods that the restore made")
	if p == nil || p.UID != r.UID {
		s.Unexpected("the restored pod is the only new one", "the new pods are "+pods.Names(now))
	}
	// Asked of the API once more: the watch may have missed its end.
	s.That(pods.IsReady(p) && pods.Restarts(p) == 0, "the restored pod is Ready with 0 restarts", pods.Describe(p))
}

// Elsewhere checks that a restored pod is not on a node.
func (s *Steps) Elsewhere(r *Restored, node string) {
	s.Helper()
	s.That(r.Spec.NodeName != "" && r.Spec.NodeName != node, "the restored pod is on another node than "+node, r.Spec.NodeName)
}

// Ownerless checks that a restored pod belongs to no controller, and to nobody where that is promised.
func (s *Steps) Ownerless(r *Restored) {
	s.Helper()
	now := s.Checks.Ownerless(r.Pod)
	if s.System.Can().NoOwner {
		s.That(len(now.OwnerReferences) == 0, "it has no owner at all", fmt.Sprintf("%+v", now.OwnerReferences))
	}
}
