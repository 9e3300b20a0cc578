package steps

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// system checkpoints and restores pods of a fake cluster: no propagator, as another implementation would.
type system struct {
	kube       kubernetes.Interface
	operations []Status
	records    map[Operation][]Record
	originals  map[Operation]*corev1.Pod
	deprecated []string
	// fails is what the next operation ends in.
	fails error
}

func newSystem(kube kubernetes.Interface) *system {
	return &system{kube: kube, records: map[Operation][]Record{}, originals: map[Operation]*corev1.Pod{}}
}

func (s *system) add(restore bool) (Operation, *Status) {
	o := NewOperation(fmt.Sprintf("operation-%d", len(s.operations)))
	s.operations = append(s.operations, Status{Operation: o, Restore: restore, Phase: Succeeded, Word: "done"})
	return o, &s.operations[len(s.operations)-1]
}

func (s *system) Checkpoint(_ context.Context, p *corev1.Pod, _ CheckpointOptions) (Operation, error) {
	o, status := s.add(false)
	if s.fails != nil {
		status.Phase = Failed
		return o, nil
	}
	s.records[o] = []Record{{ID: "of-" + o.String(), Ready: true}}
	s.originals[o] = p
	status.Checkpoints = []string{"of-" + o.String()}
	return o, nil
}

func (s *system) Restore(ctx context.Context, _ Operation, original *corev1.Pod) (Operation, error) {
	o, _ := s.add(true)
	p := original.DeepCopy()
	p.Name, p.UID, p.ResourceVersion = p.Name+"-restored", types.UID("restored-by-"+o.String()), ""
	makeReady(p)
	_, err := s.kube.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	return o, err
}

func (s *system) Wait(_ context.Context, o Operation) error {
	if s.fails != nil {
		return &FailedError{Operation: o, Details: "because", err: s.fails}
	}
	return nil
}

func (s *system) Status(_ context.Context, o Operation) (Status, error) {
	for _, known := range s.operations {
		if known.Operation == o {
			return known, nil
		}
	}
	return Status{Operation: o}, nil
}

func (s *system) Operations(context.Context) ([]Status, error) { return s.operations, nil }

func (s *system) Checkpoints(_ context.Context, o Operation) ([]Record, error) {
	return s.records[o], nil
}

func (s *system) Deprecate(_ context.Context, r Record) error {
	s.deprecated = append(s.deprecated, r.ID)
	for o := range s.records {
		for i := range s.records[o] {
			if s.records[o][i].ID == r.ID {
				s.records[o][i].Deprecated = true
			}
		}
	}
	return nil
}

func (s *system) Orphans(context.Context) ([]string, error) { return nil, nil }

func (s *system) Declare(name string) pods.Option { return pods.Labelled("declares", name) }

func (s *system) Can() Capabilities { return Capabilities{PerContainer: true, ReadyPod: true} }

func makeReady(p *corev1.Pod) {
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

func newSteps(t *testing.T) (*Steps, *system) {
	t.Helper()
	kube := fake.NewClientset()
	env := &environment.Environment{TestFile: settings.TestFile{Artifacts: t.TempDir(), RunID: "run", Tests: settings.Tests{Namespace: "unit"}}}
	env.PodTimeout.Duration, env.CheckpointTimeout.Duration, env.RestoreTimeout.Duration = time.Minute, time.Minute, time.Minute
	c := &fixture.Cluster{Env: env, Kube: kube}
	s := newSystem(kube)
	return New(c.New(t), s), s
}

func ready(name string) *corev1.Pod {
	p := pods.Nginx("nginx:1", pods.Named(name))
	p.UID = types.UID("uid-of-" + name)
	makeReady(p)
	return p
}

func TestAPodIsCheckpointedRemovedAndRestoredByAnySystem(t *testing.T) {
	t.Parallel()
	var s *system
	t.Run("case", func(t *testing.T) {
		var steps *Steps
		steps, s = newSteps(t)
		p := ready("web")
		p.Namespace = steps.Namespace
		p = steps.Start(p)
		var order []string
		note := func(what string) { order = append(order, what) }
		there := func() bool {
			_, err := steps.Kube.CoreV1().Pods(p.Namespace).Get(t.Context(), "web", metav1.GetOptions{})
			return !apierrors.IsNotFound(err)
		}
		r := steps.CheckpointAndRestore(p, SteadyFor(0),
			AfterCheckpoint(func(c *Checkpoint) {
				note(fmt.Sprintf("checkpoint of %s, the pod there: %t", c.Pod.Name, there()))
			}),
			BeforeRestore(func() { note(fmt.Sprintf("removed, the pod there: %t", there())) }))
		require.Equal(t, []string{"checkpoint of web, the pod there: true", "removed, the pod there: false"}, order)
		require.Equal(t, "web-restored", r.Name)
		require.Positive(t, r.Took())
		require.Contains(t, steps.Facts.String(), "checkpoint action operation-0, checkpoint of-operation-0, restore action operation-1")
	})
	require.Equal(t, []string{"of-operation-0"}, s.deprecated, "the cleanup gives the checkpoint up")
}

func TestWhatRemovesAPodCanBeAnother(t *testing.T) {
	t.Parallel()
	s, _ := newSteps(t)
	p := ready("web")
	p.Namespace = s.Namespace
	p = s.Start(p)
	removed := false
	s.CheckpointAndRestore(p, SteadyFor(0), RemovedBy(func(p *corev1.Pod) { removed = true; s.Forget(p) }))
	require.True(t, removed)
}

func TestAnOperationThatFailedIsKnownByItsError(t *testing.T) {
	t.Parallel()
	s, system := newSteps(t)
	p := ready("web")
	p.Namespace = s.Namespace
	p = s.Start(p)
	system.fails = fmt.Errorf("no such root")
	err := s.System.Wait(t.Context(), s.Ask(p, CheckpointOptions{RuntimeRoot: "/none"}))
	var failed *FailedError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "because", failed.Details)
	require.ErrorContains(t, err, "no such root")
}

func TestAMissingCheckpointIsAnError(t *testing.T) {
	t.Parallel()
	s, system := newSteps(t)
	o, status := system.add(false)
	_, err := s.records(t.Context(), o)
	require.ErrorContains(t, err, "has 0 checkpoints")
	status.Checkpoints = []string{"lost"}
	system.records[o] = []Record{{ID: "there"}}
	_, err = s.records(t.Context(), o)
	require.ErrorContains(t, err, "named by it but not there: [lost]")
}

func TestTheTimeAndBytesOfACheckpointHaveToBePossible(t *testing.T) {
	t.Parallel()
	records := []Record{{Freeze: 200 * time.Millisecond, Size: 100}, {Freeze: 200 * time.Millisecond, Size: 50}}
	const waited = 2 * time.Second
	require.NoError(t, accounted(Status{Took: time.Second, IO: 150}, records, waited))
	require.ErrorContains(t, accounted(Status{Took: time.Second / 1000, IO: 150}, records, waited), "the total duration of action")
	require.ErrorContains(t, accounted(Status{Took: 3 * time.Second, IO: 150}, records, waited), "the total duration of action")
	require.ErrorContains(t, accounted(Status{Took: time.Second, IO: 100}, records, waited), "the total I/O of action")
	require.ErrorContains(t, accounted(Status{Took: time.Second}, nil, waited), "and not 0")
}

func TestAnOperationThatHasEndedStaysSo(t *testing.T) {
	t.Parallel()
	require.NoError(t, ended(Status{Phase: Succeeded}))
	require.ErrorContains(t, ended(Status{Phase: Running, Word: "processing"}), "stays what it was")
}

func TestARestoreNamesItsCheckpoint(t *testing.T) {
	t.Parallel()
	records := []Record{{ID: "a"}, {ID: "b"}}
	require.NoError(t, restoredFrom(Status{Checkpoints: []string{"b"}}, records))
	require.ErrorContains(t, restoredFrom(Status{Checkpoints: []string{"c"}}, records), "is one of a, b")
	require.Error(t, restoredFrom(Status{}, records), "one that names none")
}

func TestAnActionIsReadInTheWordsOfAnyPropagator(t *testing.T) {
	t.Parallel()
	for word, phase := range map[string]Phase{
		"ready": Succeeded, "success": Succeeded, "completed": Succeeded, "error": Failed, "failed": Failed, "processing": Running, "": Running,
	} {
		require.Equal(t, phase, status(propagator.Action{Status: word}).Phase, word)
	}
	s := status(propagator.Action{
		ActionID: "a", CheckpointID: "c", Type: propagator.ActionRestorePod, NodeName: "n", Details: []byte(`{"restored_pod":"p"}`),
	})
	require.True(t, s.Restore)
	require.Equal(t, []string{"a", "c", "n", "p"}, []string{s.Operation.String(), s.Checkpoints[0], s.Node, s.Pod})
	require.Empty(t, status(propagator.Action{Details: []byte(`"free text"`)}).Pod)
}
