//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/podwatch"
	"github.com/cedana/cedana-e2e/tests/requestlog"
	"github.com/cedana/cedana-e2e/tests/wait"
)

type requestLog = requestlog.Log

func newRequestLog() *requestLog { return requestlog.New(transport) }

// steady is how long a restored pod has to stay Ready.
const steady = 5 * time.Second

// look is how often the pod watch's own memory is looked at; that costs nothing.
const look = 10 * time.Millisecond

// create makes a pod and does not wait for it.
func (s *scene) create(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	if reserved != "" && !s.anywhere && p.Spec.NodeName == "" && p.Spec.NodeSelector == nil && p.Spec.Affinity == nil {
		pods.Avoid(reserved)(p)
	}
	made, err := kube.CoreV1().Pods(s.namespace).Create(s.ctx, p, metav1.CreateOptions{})
	s.must(err, "create pod %s", p.Name)
	s.about(made)
	s.origins[made.UID] = made
	return made
}

// start makes a pod and waits until it is Ready.
func (s *scene) start(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	return s.ready(s.create(p))
}

// ready waits until a pod is Ready, and returns it as it then is.
func (s *scene) ready(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	s.about(p)
	err := wait.For(s.ctx, fmt.Sprintf("pod %s/%s to be Ready", p.Namespace, p.Name), env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := s.pods.Get(p.UID)
		return now != nil && pods.IsReady(now), pods.Describe(now), nil
	}, wait.Every(look))
	s.must(err, "start pod %s", p.Name)
	now := s.pods.Get(p.UID)
	s.about(now)
	return now
}

// checkpoint is one that was taken and is ready.
type checkpoint struct {
	action string
	// rows are the checkpoints of the action: one for each container on the local backend, at least one on any.
	rows []propagator.Checkpoint
	pod  *corev1.Pod
	// took is the time from the request to the action's being ready, as seen by a poll.
	took time.Duration
}

// checkpoint takes a checkpoint of a pod and checks what the API then says of it. In the test's cleanup it is
// deprecated, and that is checked too.
func (s *scene) checkpoint(p *corev1.Pod) *checkpoint {
	s.Helper()
	return s.take(p, string(p.UID))
}

// checkpointByName is checkpoint, but asks for it by the name and the namespace of the pod alone.
func (s *scene) checkpointByName(p *corev1.Pod) *checkpoint {
	s.Helper()
	return s.take(p, "")
}

func (s *scene) take(p *corev1.Pod, uid string) *checkpoint {
	s.Helper()
	s.about(p)
	c := &checkpoint{pod: p}
	ctx, cancel := context.WithTimeout(s.ctx, env.CheckpointTimeout.Duration)
	defer cancel()
	begin := time.Now()
	var err error
	c.action, err = s.api.CheckpointPod(ctx, propagator.CheckpointPodRequest{
		PodID: uid, PodName: p.Name, Namespace: p.Namespace, ClusterID: env.ClusterID,
		Kind: propagator.KindSimple, Reason: propagator.ReasonManual, RuncRoot: env.RuncRoot,
	})
	if c.action != "" {
		s.facts.action, s.facts.checkpoint, s.facts.restore = c.action, "", ""
		s.actions = append(s.actions, c.action)
		s.Cleanup(func() { s.deprecate(c.action) })
	}
	s.must(err, "checkpoint pod %s", p.Name)
	_, err = s.api.Wait(ctx, c.action)
	c.took = time.Since(begin)
	s.must(err, "checkpoint pod %s", p.Name)

	s.action(c.action, propagator.ActionCheckpointPod)
	c.rows, err = s.checkpointRows(s.ctx, c.action)
	s.must(err, "list the checkpoints of action %s", c.action)
	ids := make([]string, 0, len(c.rows))
	for _, row := range c.rows {
		ids = append(ids, row.ID)
	}
	s.facts.checkpoint = strings.Join(ids, " ")
	s.checkpoints = append(s.checkpoints, ids...)
	// What a live propagator's info has in it is not documented, so only there one row is enough.
	if want := len(pods.LongRunning(p)); env.Backend == settings.BackendLocal {
		equal(s, "the number of checkpoints, one for each container,", want, len(c.rows))
	}
	for _, row := range c.rows {
		equal(s, "the status of checkpoint "+row.ID, propagator.CheckpointReady, row.Status)
	}
	return c
}

// action waits until the list of actions has a successful end of the action: the list is not the endpoint that was
// polled, and may be a moment behind it. An action that failed there is an error at once.
func (s *scene) action(id string, kind propagator.ActionType) propagator.Action {
	s.Helper()
	var row propagator.Action
	err := wait.For(s.ctx, fmt.Sprintf("action %s to be successful in the list of actions", id), soon, func(ctx context.Context) (bool, string, error) {
		rows, err := s.api.Actions(ctx, propagator.ActionFilter{})
		if err != nil {
			return false, "", err
		}
		i := slices.IndexFunc(rows, func(a propagator.Action) bool { return a.ActionID == id })
		if i < 0 {
			return false, fmt.Sprintf("not among its %d actions", len(rows)), nil
		}
		row = rows[i]
		state := fmt.Sprintf("%s %s", row.Status, row.Details)
		switch row.Status {
		case "ready", "success", "completed":
			return true, state, nil
		case "error", "failed":
			return false, state, fmt.Errorf("action %s ended as %s", id, row.Status)
		}
		return false, state, nil
	})
	s.must(err, "look for action %s", id)
	equal(s, "the type of action "+id, kind, row.Type)
	return row
}

// checkpointRows are the checkpoints of an action: those that its rows name and those that name it.
func (s *scene) checkpointRows(ctx context.Context, action string) ([]propagator.Checkpoint, error) {
	named := map[string]bool{}
	actions, err := s.api.Actions(ctx, propagator.ActionFilter{Type: propagator.ActionCheckpointPod})
	if err != nil {
		return nil, err
	}
	for _, a := range actions {
		if a.ActionID == action && a.CheckpointID != "" {
			named[a.CheckpointID] = true
		}
	}
	all, err := s.api.Checkpoints(ctx, propagator.CheckpointFilter{ClusterID: env.ClusterID})
	if err != nil {
		return nil, err
	}
	var rows []propagator.Checkpoint
	for _, c := range all {
		if named[c.ID] || info(c).ActionID == action {
			rows = append(rows, c)
			delete(named, c.ID)
		}
	}
	if len(named) > 0 || len(rows) == 0 {
		return nil, fmt.Errorf("action %s has %d checkpoints in the list of %d; named by it but not there: %v", action, len(rows), len(all), named)
	}
	return rows, nil
}

// info is as much of a checkpoint's free-form info as is understood.
func info(c propagator.Checkpoint) propagator.CheckpointInfo {
	var i propagator.CheckpointInfo
	if json.Unmarshal(c.Info, &i) != nil {
		return propagator.CheckpointInfo{}
	}
	return i
}

// deprecate gives an action's checkpoints up and checks that the API says so. It is for cleanup: the test's own context
// has ended by then, and a failure does not keep the rest from being cleaned.
func (s *scene) deprecate(action string) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	failedBefore := s.Failed()
	rows, err := s.checkpointRows(ctx, action)
	if err != nil {
		if !s.Failed() {
			s.Errorf("deprecate the checkpoints of action %s: %v%s", action, err, s.context())
		}
		return
	}
	for _, row := range rows {
		if err := s.api.Deprecate(ctx, row.ID); err != nil {
			s.Errorf("deprecate checkpoint %s: %v%s", row.ID, err, s.context())
			continue
		}
		if failedBefore {
			continue // its effect is another test's matter
		}
		err := wait.For(ctx, "checkpoint "+row.ID+" to be deprecated", soon, func(ctx context.Context) (bool, string, error) {
			now, err := s.api.Checkpoints(ctx, propagator.CheckpointFilter{IDs: []string{row.ID}})
			if err != nil {
				return false, "", err
			}
			i := slices.IndexFunc(now, func(c propagator.Checkpoint) bool { return c.ID == row.ID })
			if i < 0 {
				// The API promises removal at its next cleanup.
				return true, "removed", nil
			}
			return now[i].Status == propagator.CheckpointDeprecated, "status " + string(now[i].Status), nil
		})
		if err != nil {
			s.Errorf("deprecate checkpoint %s: %v%s", row.ID, err, s.context())
		}
	}
}

// remove deletes a pod and waits until the API no longer has it, by its UID.
func (s *scene) remove(p *corev1.Pod) {
	s.Helper()
	s.about(p)
	api := kube.CoreV1().Pods(p.Namespace)
	err := api.Delete(s.ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	s.must(err, "delete pod %s", p.Name)
	err = wait.For(s.ctx, fmt.Sprintf("pod %s/%s to be gone", p.Namespace, p.Name), env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := s.pods.Get(p.UID)
		return now == nil, pods.Describe(now), nil
	}, wait.Every(look))
	s.must(err, "delete pod %s", p.Name)
	// Asked, not remembered: a restore beside the living original proves nothing.
	now, err := api.Get(s.ctx, p.Name, metav1.GetOptions{})
	if err == nil && now.UID == p.UID {
		s.fail("pod "+p.Name+" is gone", pods.Describe(now))
	}
	if err != nil && !apierrors.IsNotFound(err) {
		s.must(err, "confirm that pod %s is gone", p.Name)
	}
}

// restored is a pod that a restore made.
type restored struct {
	*corev1.Pod
	action string
	from   *checkpoint
	// asked and readyAt are when the restore was requested and when its pod was first seen Ready.
	asked, readyAt time.Time
	// others are the pods that were there before.
	others map[types.UID]bool
}

func (r *restored) took() time.Duration { return r.readyAt.Sub(r.asked) }

// restore restores from a checkpoint, waits until the new pod is Ready, and checks that the action is successful and
// that the pod has kept what describes it. Whether the pod stays Ready is for settle, whether its state is the old one
// for the test.
func (s *scene) restore(c *checkpoint) *restored {
	s.Helper()
	r := &restored{from: c, others: s.present()}
	r.asked = time.Now()
	var err error
	r.action, err = s.api.RestorePod(s.ctx, propagator.RestorePodRequest{
		ActionID: c.action, ClusterID: env.ClusterID, Reason: propagator.ReasonManual,
	})
	s.must(err, "restore pod %s from action %s", c.pod.Name, c.action)
	s.facts.restore = r.action
	s.actions = append(s.actions, r.action)

	r.Pod = s.reborn(r)
	r.readyAt = s.pods.ReadyAt(r.UID)
	row := s.action(r.action, propagator.ActionRestorePod)
	if env.Backend == settings.BackendLocal {
		equal(s, "the node of restore action "+r.action, r.Spec.NodeName, row.NodeName)
	}
	// Of the first generation: what Cedana has put on a restored pod is Cedana's to change.
	origin := s.origins[c.pod.UID]
	s.origins[r.UID] = origin
	if lost := pods.Lost(origin, r.Pod); len(lost) > 0 {
		s.fail("the restored pod has the labels, annotations, environment, limits and node selector of its original", "lost: "+strings.Join(lost, "; "))
	}
	return r
}

// reborn waits for the one new pod to be Ready. A restore action that ends in error ends the wait.
func (s *scene) reborn(r *restored) *corev1.Pod {
	s.Helper()
	// Beside the wait, because a server may hold the answer back until the action has moved on.
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := s.api.Wait(ctx, r.action)
		ended <- err
	}()
	action := "under way"
	defer func() {
		cancel()
		if action == "under way" {
			<-ended
		}
	}()
	var found *corev1.Pod
	err := wait.For(s.ctx, fmt.Sprintf("a pod restored from %s to be Ready", r.from.pod.Name), env.RestoreTimeout.Duration, func(context.Context) (bool, string, error) {
		p, err := pods.Restored(r.from.pod.Name, r.others, s.pods.List())
		state := fmt.Sprintf("%s; restore action %s", pods.Describe(p), action)
		if err != nil {
			return false, state, err
		}
		if p != nil {
			s.about(p)
			found = p
			if pods.IsReady(p) {
				return true, state, nil
			}
		}
		select {
		case err := <-ended:
			action = "ready"
			var failed *propagator.ActionError
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
	}, wait.Every(look))
	s.must(err, "restore pod %s", r.from.pod.Name)
	return found
}

// readyAlready asks the API about the pod of a restore action that is ready: the watch may be behind. What a live
// propagator means by ready is not documented.
func (s *scene) readyAlready(p *corev1.Pod) error {
	if p == nil || env.Backend != settings.BackendLocal {
		return nil
	}
	now, err := kube.CoreV1().Pods(p.Namespace).Get(s.ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !pods.IsReady(now) {
		return fmt.Errorf("the restore action is ready before its pod is: %s", pods.Describe(now))
	}
	return nil
}

// settle waits until a restored pod has been Ready for 5 s without a moment's break or a restart, and checks that the
// restore made no other pod.
func (s *scene) settle(r *restored) {
	s.Helper()
	s.about(r.Pod)
	s.steady(r.Pod, r.readyAt, steady)
	s.alone(r)
}

// alone checks that a restored pod is the one pod that its restore made, Ready and never restarted.
func (s *scene) alone(r *restored) {
	s.Helper()
	list, err := kube.CoreV1().Pods(s.namespace).List(s.ctx, metav1.ListOptions{})
	s.must(err, "list pods")
	var now []*corev1.Pod
	for i := range list.Items {
		now = append(now, &list.Items[i])
	}
	p, err := pods.Restored(r.from.pod.Name, r.others, now)
	s.must(err, "count the pods that the restore made")
	if p == nil || p.UID != r.UID {
		s.fail("the restored pod is the only new one", "the new pods are "+pods.Names(now))
	}
	// Asked of the API once more: the watch may have missed its end.
	s.that(pods.IsReady(p) && pods.Restarts(p) == 0, "the restored pod is Ready with 0 restarts", pods.Describe(p))
}

// steady waits until a pod has been Ready for so long since a time, 0 meaning until now.
func (s *scene) steady(p *corev1.Pod, since time.Time, long time.Duration) {
	s.Helper()
	var broken *podwatch.Observation
	left := max(long-time.Since(since), 0)
	err := wait.While(s.ctx, fmt.Sprintf("pod %s/%s to stay Ready", p.Namespace, p.Name), left, func(context.Context) (bool, string, error) {
		broken = s.pods.Unsteady(p.UID, since)
		return broken == nil, pods.Describe(s.pods.Get(p.UID)), nil
	})
	if broken != nil {
		s.fail(fmt.Sprintf("pod %s stays Ready with 0 restarts", p.Name),
			fmt.Sprintf("after %s: %s", broken.At.Sub(since).Round(time.Millisecond), broken.State))
	}
	s.must(err, "watch pod %s stay Ready", p.Name)
}

// present is every pod that the namespace has now, asked of the API.
func (s *scene) present() map[types.UID]bool {
	s.Helper()
	list, err := kube.CoreV1().Pods(s.namespace).List(s.ctx, metav1.ListOptions{})
	s.must(err, "list pods")
	there := map[types.UID]bool{}
	for _, p := range list.Items {
		there[p.UID] = true
	}
	return there
}
