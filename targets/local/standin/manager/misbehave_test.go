package manager

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

func workOf(t *testing.T, name fault.Name) *work.Work {
	t.Helper()
	raw, err := json.Marshal(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "app", Namespace: "ns", Labels: map[string]string{"a": "b"},
			Annotations: map[string]string{"c": "d", work.AnnotationRegression: "of another day"},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-0", NodeSelector: map[string]string{"disk": "fast"},
			Containers: []corev1.Container{{
				Name: "main", Env: []corev1.EnvVar{{Name: "E", Value: "F"}}, ReadinessProbe: &corev1.Probe{FailureThreshold: 3},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Mi")}},
			}},
		},
	})
	require.NoError(t, err)
	return &work.Work{ID: "w", ActionID: "restore", Kind: work.KindRestore, Regression: name, Restore: &work.Restore{CheckpointActionID: "from", Pod: raw}}
}

// spoilt is the pod that a restore would create with a regression.
func spoilt(t *testing.T, name fault.Name) *corev1.Pod {
	t.Helper()
	w := workOf(t, name)
	pod, err := restoredPod(w.ActionID, w.Restore)
	require.NoError(t, err)
	misbehave(pod, w)
	return pod
}

func TestWithoutARegressionThePodIsWhole(t *testing.T) {
	t.Parallel()
	pod := spoilt(t, "")
	require.NotContains(t, pod.Annotations, work.AnnotationRegression)
	require.Equal(t, "b", pod.Labels["a"])
	require.Equal(t, "d", pod.Annotations["c"])
	require.NotNil(t, pod.Spec.NodeSelector)
	require.NotEmpty(t, pod.Spec.Containers[0].Env)
	require.NotEmpty(t, pod.Spec.Containers[0].Resources.Limits)
	require.EqualValues(t, 3, pod.Spec.Containers[0].ReadinessProbe.FailureThreshold)
}

func TestTheRuntimeIsToldTheRegression(t *testing.T) {
	t.Parallel()
	require.Equal(t, string(fault.ColdStart), spoilt(t, fault.ColdStart).Annotations[work.AnnotationRegression])
}

func TestEachRegressionTakesOneThingFromThePod(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]string{work.LabelRestore: "restore"}, spoilt(t, fault.LabelsLost).Labels)
	require.NotContains(t, spoilt(t, fault.AnnotationsLost).Annotations, "c")
	require.Equal(t, "from", spoilt(t, fault.AnnotationsLost).Annotations[work.AnnotationCheckpoint])
	require.Empty(t, spoilt(t, fault.EnvironmentLost).Spec.Containers[0].Env)
	require.Empty(t, spoilt(t, fault.LimitsLost).Spec.Containers[0].Resources.Limits)
	require.NotContains(t, spoilt(t, fault.NameUnrelated).Name, "app")
	require.Nil(t, spoilt(t, fault.NotListening).Spec.Containers[0].ReadinessProbe)
	require.EqualValues(t, 1, spoilt(t, fault.ReadinessFlaps).Spec.Containers[0].ReadinessProbe.FailureThreshold)
	astray := spoilt(t, fault.WrongNode)
	require.Nil(t, astray.Spec.NodeSelector)
	require.Contains(t, astray.Spec.Affinity.String(), "node-0")
}

func TestARestoreWithoutAPodAndWithTwo(t *testing.T) {
	t.Parallel()
	none := newFakePods()
	outcome := (&restorer{pods: none}).do(t.Context(), workOf(t, fault.NoPod))
	require.Empty(t, outcome.Error)
	require.Empty(t, none.pods)

	two := newFakePods()
	_, err := (&restorer{pods: two}).ensure(t.Context(), workOf(t, fault.TwoPods))
	require.NoError(t, err)
	require.Len(t, two.pods, 2)

	early := newFakePods()
	outcome = (&restorer{pods: early}).do(t.Context(), workOf(t, fault.ReadyTooEarly))
	require.Empty(t, outcome.Error, "though the pod is not Ready")
	require.Len(t, early.pods, 1)
}
