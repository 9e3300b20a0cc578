package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// pod is one pod through all its restores.
type pod struct {
	number int
	// pod is nil while it is lost.
	pod *corev1.Pod
	// now was last seen of it.
	now   report.State
	saved []*saved
}

// saved is a checkpoint and what the pod said before it and after it.
type saved struct {
	operation     steps.Operation
	original      *corev1.Pod
	before, after report.State
}

// do does one task. What is left of its pod when it fails is found out by recover.
func (r *Run) do(d Task, v *pod) error {
	switch d.Kind {
	case Checkpoint:
		return r.checkpoint(v)
	case Twice:
		var both errgroup.Group
		takes := make([]*saved, 2)
		for i := range takes {
			both.Go(func() (err error) {
				takes[i], err = r.take(v.pod, v.now)
				return err
			})
		}
		err := both.Wait()
		for _, one := range takes {
			if one != nil {
				r.keep(v, one)
			}
		}
		return err
	case Restore:
		return r.restore(v, v.saved[max(len(v.saved)-1-d.Back, 0)])
	}
	for range d.Times {
		if err := r.checkpoint(v); err != nil {
			return err
		}
		if err := r.restore(v, v.saved[len(v.saved)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) checkpoint(v *pod) error {
	one, err := r.take(v.pod, v.now)
	if err == nil {
		r.keep(v, one)
	}
	return err
}

// slack is how much longer than a case a run waits for a checkpoint: a killed server's work has to be found lost first.
const slack = 30 * time.Second

// take takes a checkpoint of a pod and finds out what it was like before and after.
func (r *Run) take(p *corev1.Pod, last report.State) (*saved, error) {
	before, err := r.stateOf(p)
	if err != nil {
		return nil, err
	}
	if err := sameProcess(last, before); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Ctx, r.Env.CheckpointTimeout.Duration+stretch.Limit(slack))
	defer cancel()
	asked := time.Now()
	operation, err := r.System.Checkpoint(ctx, p, steps.CheckpointOptions{})
	r.began(operation)
	if err != nil {
		return nil, fmt.Errorf("ask for a checkpoint: %w", err)
	}
	if err := r.System.Wait(ctx, operation); err != nil {
		return nil, err
	}
	r.taken.Add(1)
	one := &saved{operation: operation, original: p, before: before}
	if one.after, err = r.stateOf(p); err != nil {
		// The checkpoint is good all the same: it was ready by now, and the pod counts ten a second.
		const room = 3
		one.after = before
		one.after.Count += uint64(time.Since(asked)/(100*time.Millisecond)) + room
		return one, err
	}
	return one, sameProcess(before, one.after)
}

// keep adds a checkpoint to those of a pod and gives up the oldest.
func (r *Run) keep(v *pod, one *saved) {
	v.saved = append(v.saved, one)
	for len(v.saved) > r.budget.Kept {
		r.giveUp(v.saved[0].operation)
		v.saved = v.saved[1:]
	}
}

// giveUp deprecates an operation's checkpoints; the end checks that none was missed.
func (r *Run) giveUp(o steps.Operation) {
	records, err := r.System.Checkpoints(r.Ctx, o)
	for _, record := range records {
		err = errors.Join(err, r.System.Deprecate(r.Ctx, record))
	}
	if err != nil {
		r.Logf("give up the checkpoints of action %s: %v", o, err)
	}
}

// restore deletes a pod, if it is there, restores it from a checkpoint, and checks that it is at that moment.
func (r *Run) restore(v *pod, from *saved) error {
	if v.pod != nil {
		if err := r.remove(v.pod); err != nil {
			return err
		}
		v.pod = nil
	}
	ctx, cancel := context.WithTimeout(r.Ctx, r.Env.RestoreTimeout.Duration)
	defer cancel()
	asked := time.Now()
	operation, err := r.System.Restore(ctx, from.operation, from.original)
	r.began(operation)
	if err != nil {
		return fmt.Errorf("ask for a restore from action %s: %w", from.operation, err)
	}
	if err := r.System.Wait(ctx, operation); err != nil {
		return err
	}
	list, err := r.System.Operations(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(l steps.Status) bool { return l.Operation == operation })
	if i < 0 {
		return fmt.Errorf("restore action %s is not among %d actions", operation, len(list))
	}
	p, err := r.found(ctx, v, list[i].Pod)
	if err != nil {
		return err
	}
	r.restored.Add(1)
	r.remember(p)
	v.pod = p
	now, err := r.stateOf(p)
	if err != nil {
		return err
	}
	v.now = now
	return at(from, asked, now)
}

// found is the pod that a restore has made: by its name where that is told, else by what its name has in it.
func (r *Run) found(ctx context.Context, v *pod, name string) (*corev1.Pod, error) {
	var found *corev1.Pod
	err := wait.For(ctx, fmt.Sprintf("the restored pod of %s to be Ready", podName(v.number)), stretch.Limit(fixture.Soon), func(context.Context) (bool, string, error) {
		var mine []*corev1.Pod
		for _, p := range r.Pods.List() {
			if p.DeletionTimestamp == nil && (p.Name == name || name == "" && pods.RestoredName(p.Name, podName(v.number))) {
				mine = append(mine, p)
			}
		}
		if len(mine) > 1 {
			return false, "", fmt.Errorf("it is there %d times: %s", len(mine), pods.Names(mine))
		}
		if len(mine) == 0 {
			return false, "no such pod", nil
		}
		found = mine[0]
		return pods.IsReady(found), pods.Describe(found), nil
	}, wait.Every(fixture.Look))
	return found, err
}

// remove deletes a pod; one that is gone already is as good.
func (r *Run) remove(p *corev1.Pod) error {
	if err := r.TryRemove(r.Ctx, p); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s: %w", p.Name, err)
	}
	return r.gone(p)
}

func (r *Run) gone(p *corev1.Pod) error {
	return wait.For(r.Ctx, fmt.Sprintf("pod %s to be gone", p.Name), r.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := r.Pods.Get(p.UID)
		return now == nil, pods.Describe(now), nil
	}, wait.Every(fixture.Look))
}

// stateOf asks a counter for its state; a moment's silence is borne, as a pod that is held still does not answer.
func (r *Run) stateOf(p *corev1.Pod) (report.State, error) {
	var state report.State
	err := wait.For(r.Ctx, fmt.Sprintf("pod %s on %s to answer", p.Name, p.Spec.NodeName), r.Env.PodTimeout.Duration/2, func(ctx context.Context) (bool, string, error) {
		body, err := r.TryGet(ctx, p, pods.CounterPort, "/state", nil)
		if err == nil {
			err = json.Unmarshal(body, &state)
		}
		if err != nil && r.Pods.Get(p.UID) == nil {
			return false, "", fmt.Errorf("the pod is gone")
		}
		return err == nil, fmt.Sprint(err), nil
	})
	return state, err
}

// files is how many each pod's counter holds open: one on the root file system and one in the volume.
const files = 2

// sameProcess checks that two states are of one process that has gone on, with its files as they should be.
func sameProcess(was, is report.State) error {
	return errors.Join(checks.SameProcess(was, is), checks.Intact(is), fixture.ExpectEqual("the number of open files", files, len(is.Journals)))
}

// at checks that a restored process comes from the moment of a checkpoint: at the time of the request for its restore it
// slept, and it remembers at which count it fell asleep.
func at(from *saved, asked time.Time, now report.State) error {
	if err := sameProcess(from.before, now); err != nil {
		return err
	}
	for _, slept := range now.Pauses {
		if slept.From.After(asked) || slept.To.Before(asked) {
			continue
		}
		if slept.Count < from.before.Count || slept.Count > from.after.Count {
			return fmt.Errorf("it goes on from count %d, and its checkpoint %s was taken between %d and %d", slept.Count, from.operation, from.before.Count, from.after.Count)
		}
		return nil
	}
	return fmt.Errorf("it was not asleep at %s, when its restore from %s was asked for: its pauses were %v", asked.UTC(), from.operation, now.Pauses)
}
