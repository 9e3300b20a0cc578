package podwatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/cedana/cedana-e2e/tests/pods"
)

const namespace = "here"

func ready(p *corev1.Pod, is bool) *corev1.Pod {
	p = p.DeepCopy()
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	return p
}

func TestAPodThatFlappedIsSeenAfterwards(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	w, err := Start(t.Context(), client, namespace)
	require.NoError(t, err)
	api := client.CoreV1().Pods(namespace)

	p := pods.Counter("counter:1")
	p.UID = "u1"
	_, err = api.Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool { return w.Get("u1") != nil })
	require.Zero(t, w.ReadyAt("u1"))

	update := func(p *corev1.Pod) {
		seen := len(w.History())
		_, err := api.Update(t.Context(), p, metav1.UpdateOptions{})
		require.NoError(t, err)
		eventually(t, func() bool { return len(w.History()) > seen })
	}
	update(ready(p, true))
	since := time.Now()
	require.NotZero(t, w.ReadyAt("u1"))
	require.Nil(t, w.Unsteady("u1", since))

	update(ready(p, false))
	update(ready(p, true))
	require.True(t, pods.IsReady(w.Get("u1")))
	require.False(t, w.Unsteady("u1", since).Ready, "not Ready for a moment")
	require.Nil(t, w.Unsteady("u1", time.Now()))

	restarted := ready(p, true)
	restarted.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "counter", RestartCount: 1}}
	since = time.Now()
	update(restarted)
	require.EqualValues(t, 1, w.Unsteady("u1", since).Restarts)

	since = time.Now()
	require.NoError(t, api.Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
	eventually(t, func() bool { return w.Get("u1") == nil })
	require.True(t, w.Unsteady("u1", since).Gone)
	require.Empty(t, w.List())
	require.Contains(t, w.History()[len(w.History())-1].String(), "pod counter (u1): gone")
}

func TestPodsThatAreThereAlreadyAreKnownAtOnce(t *testing.T) {
	t.Parallel()
	a, b := pods.Counter("i", pods.Named("b")), pods.Counter("i", pods.Named("a"))
	a.UID, a.Namespace, b.UID, b.Namespace = "u1", namespace, "u2", namespace
	w, err := Start(t.Context(), fake.NewClientset(a, b), namespace)
	require.NoError(t, err)
	require.Equal(t, "a, b", pods.Names(w.List()))
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, 10*time.Second, time.Millisecond)
}
