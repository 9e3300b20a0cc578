package manager

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

var podResource = schema.GroupResource{Resource: "pods"}

// fakePods is an API server for pods of one namespace.
type fakePods struct {
	mutex   sync.Mutex
	pods    map[string]*corev1.Pod
	deleted []string
	// created is called with each new pod, in a goroutine of its own.
	created func(*corev1.Pod)
}

func newFakePods(there ...*corev1.Pod) *fakePods {
	f := &fakePods{pods: map[string]*corev1.Pod{}, created: func(*corev1.Pod) {}}
	for _, p := range there {
		f.pods[p.Name] = p
	}
	return f
}

func (f *fakePods) Create(_ context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if _, there := f.pods[pod.Name]; there {
		return nil, apierrors.NewAlreadyExists(podResource, pod.Name)
	}
	made := pod.DeepCopy()
	made.UID = types.UID("uid of " + pod.Name)
	f.pods[pod.Name] = made
	go f.created(made.DeepCopy())
	return made.DeepCopy(), nil
}

func (f *fakePods) Get(_ context.Context, _, name string) (*corev1.Pod, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if p, there := f.pods[name]; there {
		return p.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(podResource, name)
}

func (f *fakePods) Delete(_ context.Context, pod *corev1.Pod) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.deleted = append(f.deleted, pod.Name)
	delete(f.pods, pod.Name)
	return nil
}

func (f *fakePods) Restored(_ context.Context, _, selector string) ([]corev1.Pod, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var out []corev1.Pod
	for _, p := range f.pods {
		if selector == work.LabelRestore+"="+p.Labels[work.LabelRestore] {
			out = append(out, *p)
		}
	}
	return out, nil
}

func named(name, restore string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Name, p.Namespace, p.UID = name, "ns", types.UID("uid of "+name)
	if restore != "" {
		p.Labels = map[string]string{work.LabelRestore: restore}
	}
	return p
}

func ready(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	p.Spec.NodeName = "node-2"
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func restoreWork(t *testing.T) *work.Work {
	return &work.Work{ID: "w", Kind: work.KindRestore, ActionID: action, Restore: request(t, nil)}
}

// restoring is a restorer, and the follower of what it has created.
func restoring(f *fakePods, timeout time.Duration) (*restorer, *follower) {
	w := &follower{timeout: timeout}
	admit := func(context.Context, *work.Restore, *corev1.Pod) error { return nil }
	return &restorer{Parts{Build: restoredPod, Check: admit, Pods: f, Follow: w.follow}}, w
}

// untilFollowed waits until the restorer follows a pod: the informer may be ahead of the answer to the creation.
func (w *follower) untilFollowed(p *corev1.Pod) {
	for following := false; !following; time.Sleep(time.Millisecond) {
		w.mutex.Lock()
		_, following = w.followed[p.UID]
		w.mutex.Unlock()
	}
}

// whatever becomes of a created pod, the watch tells the restorer.
func watched(f *fakePods, becomes func(*corev1.Pod) *corev1.Pod) *restorer {
	r, w := restoring(f, 5*time.Second)
	handler := w.handler()
	f.created = func(p *corev1.Pod) {
		w.untilFollowed(p)
		handler.OnUpdate(p, becomes(p))
	}
	return r
}

func TestARestoreEndsWhenThePodIsReady(t *testing.T) {
	t.Parallel()
	f := newFakePods()
	got := watched(f, ready).do(t.Context(), restoreWork(t))
	require.Empty(t, got.Error)
	require.Equal(t, "web-restored", got.PodName)
	require.Equal(t, "node-2", got.NodeName)
	require.Empty(t, f.deleted)
	got.Undo(t.Context())
	require.Equal(t, []string{"web-restored"}, f.deleted, "a result that nobody wants any more")
}

func TestAPodThatCannotBeRestoredIsNotLeftCrashLooping(t *testing.T) {
	t.Parallel()
	f := newFakePods()
	got := watched(f, func(p *corev1.Pod) *corev1.Pod {
		p = p.DeepCopy()
		containerState(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Message: "bad size 51"}})(p)
		return p
	}).do(t.Context(), restoreWork(t))
	require.Contains(t, got.Error, "bad size 51")
	require.Contains(t, got.Error, "ns/web-restored")
	require.Equal(t, []string{"web-restored"}, f.deleted)
}

func TestAPodThatIsNotReadyInTimeIsRemovedWithItsLastState(t *testing.T) {
	t.Parallel()
	f := newFakePods()
	r, _ := restoring(f, 20*time.Millisecond)
	got := r.do(t.Context(), restoreWork(t))
	require.Contains(t, got.Error, "not Ready after 20ms")
	require.Contains(t, got.Error, "last state: phase")
	require.Equal(t, []string{"web-restored"}, f.deleted)
}

func TestAnActionThatHasEndedElsewhereEndsTheRestore(t *testing.T) {
	t.Parallel()
	f := newFakePods()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	r, _ := restoring(f, time.Minute)
	got := r.do(ctx, restoreWork(t))
	require.Contains(t, got.Error, context.DeadlineExceeded.Error())
	require.Equal(t, []string{"web-restored"}, f.deleted, "also when the work was cancelled")
}

func TestAPodDeletedBySomeoneElseEndsTheRestore(t *testing.T) {
	t.Parallel()
	f := newFakePods()
	r, w := restoring(f, 5*time.Second)
	handler := w.handler()
	f.created = func(p *corev1.Pod) {
		w.untilFollowed(p)
		handler.OnDelete(p)
	}
	require.Contains(t, r.do(t.Context(), restoreWork(t)).Error, "deleted by someone else")
}

func TestThePodOfAnActionIsMadeOnce(t *testing.T) {
	t.Parallel()
	// By another replica, or by this one before it was restarted.
	f := newFakePods(named("web-restored", action))
	r, _ := restoring(f, time.Minute)
	p, err := r.ensure(t.Context(), restoreWork(t))
	require.NoError(t, err)
	require.Equal(t, "web-restored", p.Name)
	require.Len(t, f.pods, 1)
}

func TestATakenNameGetsAnotherOfTheSameAction(t *testing.T) {
	t.Parallel()
	f := newFakePods(named("web-restored", "another action"))
	r, _ := restoring(f, time.Minute)
	p, err := r.ensure(t.Context(), restoreWork(t))
	require.NoError(t, err)
	require.Equal(t, "web-restored-8d7b1", p.Name)

	// A name that the caller wants is that or none.
	w := restoreWork(t)
	w.Restore.PodName, w.ActionID = "web-restored", "third"
	_, err = r.ensure(t.Context(), w)
	require.True(t, apierrors.IsAlreadyExists(err), "%v", err)
	require.ErrorContains(t, err, "ns/web-restored")
}

func TestOtherWorkIsRefusedByName(t *testing.T) {
	t.Parallel()
	got := (&restorer{}).do(t.Context(), &work.Work{Kind: work.KindCheckpoint})
	require.Contains(t, got.Error, "checkpoint")
}
