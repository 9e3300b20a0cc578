package managerfault

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/manager"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// build is a pod as the manager makes it, from one that has kept a fault of another day.
func build(action string, _ *work.Restore) (*corev1.Pod, error) {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "app-restored", Namespace: "ns", Labels: map[string]string{"a": "b", work.LabelRestore: action},
			Annotations: map[string]string{"c": "d", work.AnnotationCheckpoint: "from", relay.Annotation: "of another day"},
		},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"disk": "fast"}, ServiceAccountName: "worker", DeprecatedServiceAccount: "worker",
			Tolerations: []corev1.Toleration{{Key: "k"}}, PriorityClassName: "high", Priority: new(int32), TerminationGracePeriodSeconds: new(int64),
			HostAliases: []corev1.HostAlias{{IP: "192.0.2.1"}}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
			Volumes: []corev1.Volume{{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}}},
			Containers: []corev1.Container{{
				Name: "main", Env: []corev1.EnvVar{{Name: "E", Value: "F"}}, ReadinessProbe: &corev1.Probe{FailureThreshold: 3},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Mi")}},
			}},
		},
	}, nil
}

// parts are those of a manager with a fault, and the names of the pods that were created and followed by the real ones.
func parts(name fault.Name) (p manager.Parts, created, followed *[]string) {
	created, followed = &[]string{}, &[]string{}
	return decorate(manager.Parts{
		Build: build, Pods: recorder{created: created},
		Check: func(context.Context, *work.Restore, *corev1.Pod) error { return errors.New("no place") },
		Follow: func(_ context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
			*followed = append(*followed, pod.Name)
			return pod, nil
		},
	}, func() fault.Name { return name }), created, followed
}

type recorder struct {
	manager.Pods
	created *[]string
}

func (r recorder) Create(_ context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	*r.created = append(*r.created, pod.Name)
	return pod, nil
}

func (r recorder) Delete(context.Context, *corev1.Pod) error { return errors.New("deleted") }

// spoilt is the pod that a restore would create with a fault.
func spoilt(t *testing.T, name fault.Name) *corev1.Pod {
	t.Helper()
	p, _, _ := parts(name)
	pod, err := p.Build("restore", &work.Restore{Pod: []byte(`{"spec": {"nodeName": "node-0"}}`)})
	require.NoError(t, err)
	return pod
}

func TestWithoutAFaultThePodIsWhole(t *testing.T) {
	t.Parallel()
	pod := spoilt(t, "")
	require.NotContains(t, pod.Annotations, relay.Annotation)
	require.Equal(t, "b", pod.Labels["a"])
	require.Equal(t, "d", pod.Annotations["c"])
	require.NotNil(t, pod.Spec.NodeSelector)
	require.NotEmpty(t, pod.Spec.Containers[0].Env)
	require.NotEmpty(t, pod.Spec.Containers[0].Resources.Limits)
	require.EqualValues(t, 3, pod.Spec.Containers[0].ReadinessProbe.FailureThreshold)
}

func TestTheRuntimeIsToldTheFault(t *testing.T) {
	t.Parallel()
	require.Equal(t, string(fault.ColdStart), spoilt(t, fault.ColdStart).Annotations[relay.Annotation])
}

func TestEachFaultTakesOneThingFromThePod(t *testing.T) {
	t.Parallel()
	require.NotContains(t, spoilt(t, fault.LabelsLost).Labels, "a")
	require.Equal(t, "restore", spoilt(t, fault.LabelsLost).Labels[work.LabelRestore])
	require.NotContains(t, spoilt(t, fault.AnnotationsLost).Annotations, "c")
	require.Equal(t, "from", spoilt(t, fault.AnnotationsLost).Annotations[work.AnnotationCheckpoint])
	require.Empty(t, spoilt(t, fault.EnvironmentLost).Spec.Containers[0].Env)
	require.Empty(t, spoilt(t, fault.LimitsLost).Spec.Containers[0].Resources.Limits)
	require.NotContains(t, spoilt(t, fault.NameUnrelated).Name, "app")
	require.Nil(t, spoilt(t, fault.NotListening).Spec.Containers[0].ReadinessProbe)
	require.EqualValues(t, 3, spoilt(t, fault.ReadyTooEarly).Spec.Containers[0].ReadinessProbe.InitialDelaySeconds)
	require.EqualValues(t, 1, spoilt(t, fault.ReadinessFlaps).Spec.Containers[0].ReadinessProbe.FailureThreshold)
	astray := spoilt(t, fault.WrongNode)
	require.Nil(t, astray.Spec.NodeSelector)
	require.Contains(t, astray.Spec.Affinity.String(), "node-0")
}

func TestEachFaultChangesOneFieldOfTheSpecification(t *testing.T) {
	t.Parallel()
	whole, err := build("restore", nil)
	require.NoError(t, err)
	for name, mend := range map[fault.Name]func(spoilt, whole *corev1.PodSpec){
		fault.ServiceAccountLost: func(s, w *corev1.PodSpec) {
			s.ServiceAccountName, s.DeprecatedServiceAccount = w.ServiceAccountName, w.DeprecatedServiceAccount
		},
		fault.TolerationsLost: func(s, w *corev1.PodSpec) { s.Tolerations = w.Tolerations },
		fault.PriorityLost: func(s, w *corev1.PodSpec) {
			s.PriorityClassName, s.Priority = w.PriorityClassName, w.Priority
		},
		fault.HostAliasesLost: func(s, w *corev1.PodSpec) { s.HostAliases = w.HostAliases },
		fault.PullSecretsLost: func(s, w *corev1.PodSpec) { s.ImagePullSecrets = w.ImagePullSecrets },
		fault.GracePeriodLost: func(s, w *corev1.PodSpec) { s.TerminationGracePeriodSeconds = w.TerminationGracePeriodSeconds },
		fault.VolumesLost:     func(s, w *corev1.PodSpec) { s.Volumes = w.Volumes },
		fault.ImageDiffers:    func(s, w *corev1.PodSpec) { s.Containers[0].Image = w.Containers[0].Image },
	} {
		pod := spoilt(t, name)
		require.NotEqual(t, whole.Spec, pod.Spec, name)
		mend(&pod.Spec, &whole.Spec)
		require.Equal(t, whole.Spec, pod.Spec, name)
	}
}

func TestARestoreMakesNoPodOrTwoOrWaitsForNone(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]struct{ created, followed []string }{
		"":                  {[]string{"app-restored"}, []string{"app-restored"}},
		fault.NoPod:         {[]string{}, []string{}},
		fault.TwoPods:       {[]string{"app-restored", "app-restored-twin"}, []string{"app-restored"}},
		fault.ReadyTooEarly: {[]string{"app-restored"}, []string{}},
	} {
		p, created, followed := parts(name)
		pod, err := p.Pods.Create(t.Context(), spoilt(t, name))
		require.NoError(t, err)
		_, err = p.Follow(t.Context(), pod)
		require.NoError(t, err)
		require.Equal(t, want.created, *created, name)
		require.Equal(t, want.followed, *followed, name)
	}
}

func TestRefusalsAreNotWhatTheyWere(t *testing.T) {
	t.Parallel()
	pod := spoilt(t, "")
	whole, _, _ := parts("")
	require.Error(t, whole.Check(t.Context(), nil, pod))
	require.Error(t, whole.Pods.Delete(t.Context(), pod))
	unchecked, _, _ := parts(fault.ChecksSkipped)
	require.NoError(t, unchecked.Check(t.Context(), nil, pod))
	staying, _, _ := parts(fault.RefusedPodStays)
	require.NoError(t, staying.Pods.Delete(t.Context(), pod))
}
