package pods

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func named(name, uid string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid)}}
}

func TestARestoredPodIsNamedAfterItsOriginal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, original string
		want           bool
	}{
		{"web-restored", "web", true},
		{"web-restored-x7k2", "web", true},
		{"restored-web", "web", true},
		{"web-restored", "web-restored", true},
		{"web-restored-restored", "web-restored", true},
		{"web", "web", false},
		{"other-restored", "web", false},
		{"web-restored", "web-restored-restored", true},
		{"api-restored", "api-restored-2", false},
		{strings.Repeat("l", 200) + "-restored", strings.Repeat("l", 210), true},
		{strings.Repeat("k", 200) + "-restored", strings.Repeat("l", 210), false},
	} {
		require.Equal(t, c.want, RestoredName(c.name, c.original), "%s from %s", c.name, c.original)
	}
}

func TestARestoredPodIsTheOneNewPod(t *testing.T) {
	t.Parallel()
	before := map[types.UID]bool{"a": true, "b": true}
	old := []*corev1.Pod{named("web-restored", "a"), named("load", "b")}

	p, err := Restored("web-restored", before, old)
	require.NoError(t, err)
	require.Nil(t, p, "a pod from before is not the restored one, whatever its name")

	p, err = Restored("web-restored", before, append(old, named("web-restored", "c")))
	require.NoError(t, err)
	require.Equal(t, types.UID("c"), p.UID)

	_, err = Restored("web", before, append(old, named("web-restored", "c"), named("web-restored-2", "d")))
	require.ErrorContains(t, err, "there are 2: web-restored, web-restored-2")

	_, err = Restored("web", before, append(old, named("db-restored", "c")))
	require.ErrorContains(t, err, "db-restored")
}

func TestAProbedPodHasThreeProbesAndTimeToStart(t *testing.T) {
	t.Parallel()
	c := Counter("i", Probes(CounterPort, "/a", "/b", "/c")).Spec.Containers[0]
	require.Equal(t, []string{"/a", "/b", "/c"}, []string{c.StartupProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path})
	require.EqualValues(t, 30, c.StartupProbe.FailureThreshold)
}

func TestTheLongestNameLeavesRoomForNamespaceAndUID(t *testing.T) {
	t.Parallel()
	require.Equal(t, 255-10-38, LongestName(strings.Repeat("n", 10)))
}

func TestAPodsStateIsOneLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "no pod", Describe(nil))
	p := Counter("counter:1")
	require.Equal(t, "no phase yet, not Ready, on no node", Describe(p))
	p.Spec.NodeName = "server-0"
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "counter", RestartCount: 2,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 139, Reason: "Error"}},
	}}
	require.Equal(t, "Running, not Ready, container counter waiting: CrashLoopBackOff back-off 10s, restarted 2 times (last: code 139 Error )",
		Describe(p))
	require.EqualValues(t, 2, Restarts(p))
	p.Status.ContainerStatuses[0].State.Waiting.Reason = "ErrImagePull"
	require.Contains(t, Describe(p), "E2E_IMAGE_COUNTER choose the image")

	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	require.True(t, IsReady(p))
	now := metav1.Now()
	p.DeletionTimestamp = &now
	require.False(t, IsReady(p), "a pod that is going is not Ready")
}

func TestPodsUnderTestGoAtOnceAndGetNoToken(t *testing.T) {
	t.Parallel()
	for _, p := range []*corev1.Pod{Counter("i"), Nginx("i"), Load("i", "http://counter:8080/healthz", "ok")} {
		require.False(t, *p.Spec.AutomountServiceAccountToken)
		require.LessOrEqual(t, *p.Spec.TerminationGracePeriodSeconds, int64(1))
		for _, c := range p.Spec.Containers {
			require.Equal(t, corev1.PullIfNotPresent, c.ImagePullPolicy)
			require.EqualValues(t, 1, c.ReadinessProbe.PeriodSeconds)
			require.NotEmpty(t, c.Resources.Requests)
		}
	}
}

func TestAVolumeIsSharedByTheContainersThatMountIt(t *testing.T) {
	t.Parallel()
	p := Counter("i", EmptyDir("data", "/data"), CounterContainer("second", "i", 8081), EmptyDir("data", "/shared"))
	require.Len(t, p.Spec.Volumes, 1)
	require.Equal(t, "/data", p.Spec.Containers[0].VolumeMounts[0].MountPath)
	require.Equal(t, "/shared", p.Spec.Containers[1].VolumeMounts[0].MountPath)
}
