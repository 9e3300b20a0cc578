package artifacts

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func read(t *testing.T, d *Directory, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(d.Path, name))
	require.NoError(t, err)
	return string(content)
}

func TestANamespacesPodsEventsAndLogsAreKept(t *testing.T) {
	t.Parallel()
	p := counter("here")
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "LEAK", Value: "canary"}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "counter", RestartCount: 1}}
	older, newer := event("older", time.Minute), event("newer", time.Hour)
	d := &Directory{Path: t.TempDir(), Secret: settings.Secret("canary")}
	require.NoError(t, d.Namespace(t.Context(), fake.NewClientset(p, newer, older), "here"))

	require.Contains(t, read(t, d, "pods.yaml"), "name: counter")
	require.NotContains(t, read(t, d, "pods.yaml"), "canary")
	require.Contains(t, read(t, d, "pods.yaml"), "value: ***")
	require.Regexp(t, `(?s)older.*newer`, read(t, d, "events.txt"))
	require.NotEmpty(t, read(t, d, "logs/counter.counter.log"))
	require.NotEmpty(t, read(t, d, "logs/counter.counter.previous.log"))
}

func counter(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "counter", Namespace: namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "counter", Image: "counter:1"}}},
	}
}

func event(reason string, at time.Duration) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:    metav1.ObjectMeta{Name: reason, Namespace: "here"},
		LastTimestamp: metav1.NewTime(time.Unix(0, 0).Add(at)), Reason: reason, Message: "it happened",
	}
}

func TestNoPreviousLogIsAskedOfAContainerThatNeverRestarted(t *testing.T) {
	t.Parallel()
	p := counter("cedana-system")
	d := &Directory{Path: t.TempDir()}
	require.NoError(t, d.Cedana(t.Context(), fake.NewClientset(p), "cedana-system"))
	require.FileExists(t, filepath.Join(d.Path, "cedana/counter.counter.log"))
	require.NoFileExists(t, filepath.Join(d.Path, "cedana/counter.counter.previous.log"))
}

func TestAnArtifactThatCannotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	d := &Directory{Path: file}
	require.ErrorContains(t, d.WriteJSON("actions.json", 1), "actions.json")
	require.ErrorContains(t, WriteLines(d, "requests.log", []int{1}), "requests.log")
}
