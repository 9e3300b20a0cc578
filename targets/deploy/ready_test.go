package deploy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
)

const testManifest = `---
# Source: x
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: cedana-helper
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: cedana-config
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cedana-manager
  namespace: other
`

func TestTheWorkloadsOfAManifestAreWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	found, err := workloads(testManifest, "cedana-system")
	require.NoError(t, err)
	require.ElementsMatch(t, []workload{{"DaemonSet", "cedana-system", "cedana-helper"}, {"Deployment", "other", "cedana-manager"}}, found)
}

func daemonSet(desired, updated, ready int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "cedana-helper", Namespace: "cedana-system", Generation: 2},
		Status: appsv1.DaemonSetStatus{
			ObservedGeneration: 2, DesiredNumberScheduled: desired, CurrentNumberScheduled: desired,
			UpdatedNumberScheduled: updated, NumberReady: ready,
		},
	}
}

func pod(name string, ready bool, c corev1.ContainerStatus) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "cedana-system", Labels: map[string]string{"app.kubernetes.io/instance": "cedana"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{c}},
	}
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	return p
}

func running(ready bool) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "helper", Ready: ready, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func waiting(reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "helper", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "because\nof this"}}}
}

func testGate(objects ...runtime.Object) gate {
	return gate{
		client: fake.NewClientset(objects...), namespace: "cedana-system", instance: "cedana", mask: mask.New(canary),
		poll: time.Millisecond, workloads: []workload{{"DaemonSet", "cedana-system", "cedana-helper"}},
	}
}

func TestAReleaseIsReadyWhenAllItsPodsAre(t *testing.T) {
	t.Parallel()
	g := testGate(daemonSet(1, 1, 1), pod("cedana-helper-a", true, running(true)))
	require.NoError(t, g.wait(t.Context(), &console.Step{}))
}

func TestWhatKeepsAReleaseFromBeingReady(t *testing.T) {
	t.Parallel()
	ready := pod("cedana-helper-a", true, running(true))
	crashed := waiting("CrashLoopBackOff")
	crashed.RestartCount = 3
	crashed.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	now := metav1.Now()
	leaving := pod("cedana-helper-old", true, running(true))
	leaving.DeletionTimestamp, leaving.Finalizers = &now, []string{"x"}
	pending := pod("cedana-helper-b", false, corev1.ContainerStatus{Name: "helper"})
	pending.Status.Phase = corev1.PodPending
	pending.Status.ContainerStatuses = nil
	pending.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}
	stale := daemonSet(1, 1, 1)
	stale.Generation = 3

	for name, c := range map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"no pod yet":              {[]runtime.Object{daemonSet(1, 0, 0)}, "0 of 0 pods ready; DaemonSet cedana-helper: 0 of 1 pods are of the new revision; no pod has the label app.kubernetes.io/instance=cedana"},
		"99999 may be missing":    {[]runtime.Object{daemonSet(1, 1, 0), ready}, "DaemonSet cedana-helper: 0 of 1 pods are ready"},
		"old revision":            {[]runtime.Object{daemonSet(2, 1, 2), ready}, "1 of 2 pods are of the new revision"},
		"not seen":                {[]runtime.Object{stale, ready}, "not yet seen by its controller"},
		"fits no node":            {[]runtime.Object{daemonSet(0, 0, 0), ready}, "wants no pod"},
		"probe fails":             {[]runtime.Object{daemonSet(1, 1, 1), pod("p", false, running(false))}, "pod p: helper runs, its probe does not succeed yet"},
		"crash loop":              {[]runtime.Object{daemonSet(1, 1, 1), pod("p", false, crashed)}, "helper waits: CrashLoopBackOff (because), before that ended with 137 OOMKilled, 3 restarts"},
		"unscheduled":             {[]runtime.Object{daemonSet(1, 1, 1), pending}, "not scheduled: 0/1 nodes are available"},
		"old pod still goes away": {[]runtime.Object{daemonSet(1, 1, 1), ready, leaving}, "1 of 2 pods ready; pod cedana-helper-old: is being deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := testGate(c.objects...).look(t.Context())
			require.NoError(t, err)
			require.Contains(t, l.String(), c.want)
		})
	}
}

func TestATimeoutTellsEachPodsStateItsLogAndTheWarnings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		restarted := running(false)
		restarted.RestartCount = 1
		event := &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "cedana-system"}, Type: "Warning", Reason: "FailedMount",
			Message: "no such secret " + canary, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "cedana-helper-a"},
		}
		g := testGate(daemonSet(1, 1, 0), pod("cedana-helper-a", false, restarted), event)
		late := errors.New("no success within E2E_DEPLOY_TIMEOUT=50ms")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, late)
		defer cancel()
		err := g.wait(ctx, &console.Step{})
		require.ErrorIs(t, err, late)
		for _, want := range []string{
			"wait until the pods of release cedana in namespace cedana-system are ready: 0 of 1 pods ready",
			"last log lines before the restart of cedana-helper-a/helper:\n  fake logs",
			"last log lines of cedana-helper-a/helper:\n  fake logs",
			"warning: Pod cedana-helper-a: FailedMount: no such secret ***",
			"run `mage deploy` again",
		} {
			require.ErrorContains(t, err, want)
		}
		require.NotContains(t, err.Error(), canary)
	})
}

func TestAnImageThatCannotBePulledNamesTheVariablesThatChooseIt(t *testing.T) {
	t.Parallel()
	for reason, named := range map[string]bool{"ErrImagePull": true, "ImagePullBackOff": true, "InvalidImageName": true, "ContainerCreating": false} {
		synctest.Test(t, func(t *testing.T) {
			g := testGate(daemonSet(1, 1, 0), pod("p", false, waiting(reason)))
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("too long"))
			defer cancel()
			err := g.wait(ctx, &console.Step{})
			for _, name := range []string{"HELPER_REPO", "HELPER_TAG", "CONTROLLER_DIGEST", "HELM_CHART"} {
				require.Equal(t, named, strings.Contains(err.Error(), name), "%s: %s", reason, name)
			}
		})
	}
}

func TestAnInterruptedWaitSaysTheLastStateAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGate(daemonSet(1, 1, 0), pod("p", false, running(false)))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		err := g.wait(ctx, &console.Step{})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "0 of 1 pods ready")
		require.NotContains(t, err.Error(), "fake logs")
	})
}

func TestAnApiServerThatIsBusyForAWhileIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGate(daemonSet(1, 1, 1), pod("p", true, running(true)))
		failures := 3
		g.client.(*fake.Clientset).PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			failures--
			return failures >= 0, nil, apierrors.NewServiceUnavailable("busy")
		})
		require.NoError(t, g.wait(t.Context(), &console.Step{}))
		require.Negative(t, failures)
	})
}

func TestAStateThatNoWaitingMendsEndsTheWait(t *testing.T) {
	t.Parallel()
	pods := []corev1.Pod{*pod("p", false, waiting("ErrImageNeverPull"))}
	since := map[string]time.Time{}
	start := time.Now()
	require.Empty(t, lost(pods, since, start))
	require.Empty(t, lost(pods, since, start.Add(hopelessFor-1)))
	require.Equal(t, "p", lost(pods, since, start.Add(hopelessFor)))

	require.Empty(t, lost([]corev1.Pod{*pod("p", false, waiting("ContainerCreating"))}, since, start.Add(hopelessFor)))
	require.Empty(t, lost(pods, since, start.Add(2*hopelessFor)), "the time starts anew")

	// The kubelet tries an image a few times: the registry may have too much to do. It goes from one reason to the other.
	since = map[string]time.Time{}
	pulls := func(reason string) []corev1.Pod {
		p := pod("p", false, waiting("PodInitializing"))
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{waiting(reason)}
		p.Status.InitContainerStatuses[0].Name = "init"
		return []corev1.Pod{*p}
	}
	require.Empty(t, lost(pulls("ErrImagePull"), since, start))
	require.Empty(t, lost(pulls("ErrImagePull"), since, start.Add(pullsFor-1)))
	require.Equal(t, "p", lost(pulls("ImagePullBackOff"), since, start.Add(pullsFor)))
}
