package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Checkpoint is one that was taken and is ready.
type Checkpoint struct {
	Operation Operation
	// Records are what the operation has made.
	Records []Record
	Pod     *corev1.Pod
	// Took is the time from the request to the operation's end, as seen by a poll.
	Took time.Duration
	// ran is the pod as it was when its checkpoint was taken.
	ran *corev1.Pod
}

// Checkpoint takes a checkpoint of a pod and checks how it is listed then. In the case's cleanup it is deprecated, and that
// is checked too.
func (s *Steps) Checkpoint(p *corev1.Pod) *Checkpoint {
	s.Helper()
	return s.CheckpointWith(p, CheckpointOptions{})
}

// CheckpointWith is Checkpoint with options.
func (s *Steps) CheckpointWith(p *corev1.Pod, o CheckpointOptions) *Checkpoint {
	s.Helper()
	s.About(p)
	c := &Checkpoint{Pod: p, ran: p}
	if now := s.Pods.Get(p.UID); now != nil {
		c.ran = now
	}
	defer s.StepWithin(report.StepCheckpoint, "pod "+p.Name, c.profile)()
	ctx, cancel := context.WithTimeout(s.Ctx, s.Env.CheckpointTimeout.Duration)
	defer cancel()
	begin := time.Now()
	var err error
	c.Operation, err = s.System.Checkpoint(ctx, p, o)
	if !c.Operation.IsZero() {
		s.noteCheckpoint(c.Operation)
		s.Cleanup(func() { s.Deprecate(c.Operation) })
	}
	s.Must(err, "checkpoint pod %s", p.Name)
	err = s.System.Wait(ctx, c.Operation)
	c.Took = time.Since(begin)
	s.Must(err, "checkpoint pod %s", p.Name)

	listed := s.listed(c.Operation, false)
	c.Records, err = s.records(s.Ctx, c.Operation)
	s.Must(err, "list the checkpoints of action %s", c.Operation)
	for _, r := range c.Records {
		s.made(r.ID)
	}
	s.At(c)
	if s.System.Can().PerContainer {
		fixture.Equal(s, "the number of checkpoints, one for each container,", len(pods.LongRunning(p)), len(c.Records))
	}
	for _, r := range c.Records {
		s.That(r.Ready, "the status of checkpoint "+r.ID+" is ready", r.Word)
	}
	if s.System.Can().Details {
		s.Check(accounted(listed, c.Records, c.Took))
	}
	return c
}

// accounted is nil when what a checkpoint's operation says of its time and its bytes can be: at least as long as the pod
// stood still, not longer than it was waited for, and at least as much as was stored.
func accounted(o Status, records []Record, waited time.Duration) error {
	var freeze time.Duration
	var size int64
	for _, r := range records {
		freeze, size = max(freeze, r.Freeze), size+r.Size
	}
	return fixture.First(
		fixture.Expect(o.Took >= freeze && o.Took <= waited, fmt.Sprintf("the total duration of action %s, in nanoseconds, is from %d, for which the pod stood still, to %d, for which it was waited for",
			o.Operation, freeze, waited), o.Took.Nanoseconds()),
		fixture.Expect(o.IO >= size && size > 0, fmt.Sprintf("the total I/O of action %s is at least %d bytes, the size of its checkpoints, and not 0", o.Operation, size), o.IO),
	)
}

// profile is where the checkpoint's time went, as its system says; of a pod of several containers, the first one's.
func (c *Checkpoint) profile() map[string]time.Duration {
	if len(c.Records) == 0 {
		return nil
	}
	return c.Records[0].Profile
}

func (s *Steps) noteCheckpoint(o Operation) {
	s.Facts.Checkpoint, s.Facts.Checkpoints, s.Facts.Restore = o.String(), "", ""
	s.Began(o)
}

// At notes which checkpoint the case is at.
func (s *Steps) At(c *Checkpoint) {
	ids := make([]string, 0, len(c.Records))
	for _, r := range c.Records {
		ids = append(ids, r.ID)
	}
	s.Facts.Checkpoint, s.Facts.Checkpoints, s.Facts.Restore = c.Operation.String(), strings.Join(ids, " "), ""
}

// Ask asks for a checkpoint and does not wait for it. What it makes, if it does, is deprecated in the case's cleanup.
func (s *Steps) Ask(p *corev1.Pod, o CheckpointOptions) Operation {
	s.Helper()
	s.About(p)
	operation, err := s.System.Checkpoint(s.Ctx, p, o)
	if !operation.IsZero() {
		s.noteCheckpoint(operation)
		s.Cleanup(func() { s.deprecateIfReady(operation) })
	}
	s.Must(err, "ask for a checkpoint of pod %s", p.Name)
	return operation
}

// CheckpointTogether asks for checkpoints of one counter at once: each is ready in the end, and the pod goes on.
func (s *Steps) CheckpointTogether(p *corev1.Pod, n int) {
	s.Helper()
	before := s.State(p, pods.CounterPort)
	operations, errs := make([]Operation, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			operations[i], errs[i] = s.System.Checkpoint(s.Ctx, p, CheckpointOptions{})
			if errs[i] == nil {
				errs[i] = s.System.Wait(s.Ctx, operations[i])
			}
		})
	}
	group.Wait()
	for i, o := range operations {
		if !o.IsZero() {
			s.noteCheckpoint(o)
			s.Cleanup(func() { s.Deprecate(o) })
		}
		s.Must(errs[i], "checkpoint pod %s, %d at once", p.Name, n)
	}
	s.That(operations[0] != operations[1], "two requests are two actions", operations)
	s.Check(checks.Intact(s.CountsOn(p, pods.CounterPort, before)))
	s.Same(before, s.State(p, pods.CounterPort))
}

// Known checks that a checkpoint is listed as it was when it was taken: its operation, and what that has made.
func (s *Steps) Known(c *Checkpoint) {
	s.Helper()
	s.At(c)
	s.listed(c.Operation, false)
	now, err := s.records(s.Ctx, c.Operation)
	s.Must(err, "list the checkpoints of action %s", c.Operation)
	s.That(reflect.DeepEqual(c.Records, now), fmt.Sprintf("the checkpoints of action %s are %+v", c.Operation, c.Records), fmt.Sprintf("%+v", now))
}

// listed waits until the list of operations has a successful end of the operation: the list is not what was polled, and
// may be a moment behind it. An operation that failed there is an error at once.
func (s *Steps) listed(o Operation, restore bool) Status {
	s.Helper()
	var found Status
	err := wait.For(s.Ctx, fmt.Sprintf("action %s to be successful in the list of actions", o), stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		list, err := s.System.Operations(ctx)
		if err != nil {
			return false, "", err
		}
		of := slices.DeleteFunc(slices.Clone(list), func(l Status) bool { return l.Operation != o })
		if len(of) == 0 {
			return false, fmt.Sprintf("not among its %d actions", len(list)), nil
		}
		if len(of) > 1 {
			return false, "", fmt.Errorf("action %s is %d times in the list of actions", o, len(of))
		}
		found = of[0]
		state := fmt.Sprintf("%s %s", found.Word, found.Details)
		if found.Phase == Failed {
			return false, state, fmt.Errorf("action %s ended as %s", o, found.Word)
		}
		return found.Phase == Succeeded, state, nil
	})
	s.Must(err, "look for action %s", o)
	s.That(found.Restore == restore, fmt.Sprintf("action %s is a restore: %t", o, restore), found.Kind)
	now, err := s.System.Status(s.Ctx, o)
	s.Must(err, "ask for action %s", o)
	s.Check(ended(now))
	return found
}

// ended is nil when an operation that had ended well is still said to have.
func ended(now Status) error {
	return fixture.Expect(now.Phase == Succeeded, fmt.Sprintf("the status of action %s stays what it was when the action had ended", now.Operation), now.Word)
}

// records are what an operation has made: at least one, and all that it names.
func (s *Steps) records(ctx context.Context, o Operation) ([]Record, error) {
	list, err := s.System.Operations(ctx)
	if err != nil {
		return nil, err
	}
	records, err := s.System.Checkpoints(ctx, o)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, l := range list {
		for _, id := range l.Checkpoints {
			if l.Operation == o && !l.Restore && !slices.ContainsFunc(records, func(r Record) bool { return r.ID == id }) {
				missing = append(missing, id)
			}
		}
	}
	if len(missing) > 0 || len(records) == 0 {
		return nil, fmt.Errorf("action %s has %d checkpoints in the list; named by it but not there: %v", o, len(records), missing)
	}
	return records, nil
}

// Deprecate gives an operation's checkpoints up and checks that they are listed so. It is for cleanup: the case's own
// context has ended by then, and a failure does not keep the rest from being cleaned.
func (s *Steps) Deprecate(o Operation) {
	ctx, cancel := s.CleanupContext()
	defer cancel()
	failedBefore := s.Failed()
	records, err := s.records(ctx, o)
	if err != nil {
		if !s.Failed() {
			s.Errorf("deprecate the checkpoints of action %s: %v%s", o, err, s.Where())
		}
		return
	}
	now, err := s.System.Status(ctx, o)
	if err = cmp.Or(err, ended(now)); err != nil && !failedBefore {
		s.Errorf("ask for action %s: %v%s", o, err, s.Where())
	}
	for _, r := range records {
		if err := s.System.Deprecate(ctx, r); err != nil {
			s.Errorf("deprecate checkpoint %s: %v%s", r.ID, err, s.Where())
			continue
		}
		if failedBefore {
			continue // its effect is another case's matter
		}
		err := wait.For(ctx, "checkpoint "+r.ID+" to be deprecated", stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
			now, err := s.System.Checkpoints(ctx, o)
			if err != nil {
				return false, "", err
			}
			i := slices.IndexFunc(now, func(l Record) bool { return l.ID == r.ID })
			if i < 0 {
				// What is deprecated may be removed.
				return true, "removed", nil
			}
			return now[i].Deprecated, "status " + now[i].Word, nil
		})
		if err != nil {
			s.Errorf("deprecate checkpoint %s: %v%s", r.ID, err, s.Where())
		}
	}
}

// deprecateIfReady gives up what an operation has made that may have failed.
func (s *Steps) deprecateIfReady(o Operation) {
	ctx, cancel := s.CleanupContext()
	defer cancel()
	err := s.System.Wait(ctx, o)
	var failed *FailedError
	switch {
	case errors.As(err, &failed):
	case err != nil:
		s.Errorf("ask how action %s ended: %v%s", o, err, s.Where())
	default:
		s.Deprecate(o)
	}
}
