package checks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cedana/cedana-e2e/tests/pods"
)

func TestLostLimitsAreNamed(t *testing.T) {
	t.Parallel()
	source := pods.Counter("i", pods.Limits("500m", "320Mi"))
	restored := source.DeepCopy()
	require.Empty(t, LostLimits(source, restored))

	restored.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory] = resource.MustParse("1Gi")
	delete(restored.Spec.Containers[0].Resources.Limits, corev1.ResourceCPU)
	restored.Spec.Containers[0].Resources.Requests = nil
	require.Equal(t, []string{
		"limit of cpu of container counter, 500m (seen 0)", "limit of memory of container counter, 320Mi (seen 1Gi)",
		"request of cpu of container counter, 50m (seen 0)", "request of memory of container counter, 16Mi (seen 0)",
	}, LostLimits(source, restored))
	restored.Spec.Containers = nil
	require.Equal(t, []string{"container counter"}, LostLimits(source, restored))
}

func TestWhatARestoreLostIsNamed(t *testing.T) {
	t.Parallel()
	source := pods.Counter("counter:1", pods.Labelled("tier", "x"), pods.OnNode("server-0"), pods.CounterContainer("second", "counter:1", 8081))
	restored := source.DeepCopy()
	restored.Labels["more"] = "is fine"
	require.Empty(t, Lost(source, restored))

	delete(restored.Labels, "tier")
	restored.Annotations[pods.PurposeAnnotation] = "other"
	restored.Spec.Containers = restored.Spec.Containers[:1]
	restored.Spec.Containers[0].Env = restored.Spec.Containers[0].Env[:1]
	lost := Lost(source, restored)
	require.Len(t, lost, 4)
	require.Contains(t, lost[0], `label tier="x"`)
	require.Contains(t, lost[1], "annotation "+pods.PurposeAnnotation)
	require.Contains(t, lost[2], "E2E_MARK")
	require.Contains(t, lost[3], "container second")

	source = pods.Counter("counter:1", pods.OnNode("server-0"), pods.Limits("1", "64Mi"))
	restored = source.DeepCopy()
	require.Empty(t, Lost(source, restored))
	restored.Spec.NodeSelector = nil
	restored.Spec.Containers[0].Resources.Limits = nil
	lost = Lost(source, restored)
	require.Len(t, lost, 3)
	require.Contains(t, lost[0], "node selector")
	require.Contains(t, lost[1], "limit of cpu of container counter, 1 (seen 0)")
	require.Contains(t, lost[2], "limit of memory of container counter, 64Mi (seen 0)")
}

func TestEachFieldThatARestoreLostIsNamed(t *testing.T) {
	t.Parallel()
	priority := int32(7)
	source := pods.Counter("counter:1", pods.ConfigMap("settings", "/etc/settings"), pods.Groups(4001), func(p *corev1.Pod) {
		p.Spec.ServiceAccountName, p.Spec.PriorityClassName, p.Spec.Priority = "worker", "kept", &priority
		p.Spec.Tolerations = []corev1.Toleration{{Key: "a", Operator: corev1.TolerationOpExists}, {Key: "b"}}
		p.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.7", Hostnames: []string{"kept.example"}}}
		p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	})
	more := source.DeepCopy()
	mode := int32(0o644)
	more.Spec.Volumes[0].ConfigMap.DefaultMode = &mode
	more.Spec.Tolerations = append(more.Spec.Tolerations, corev1.Toleration{Key: "c"})
	more.Spec.RestartPolicy = corev1.RestartPolicyAlways
	require.Empty(t, Lost(source, more), "what is there besides is not lost")
	for want, change := range map[string]func(*corev1.PodSpec){
		`service account "worker" (seen "default")`:                  func(s *corev1.PodSpec) { s.ServiceAccountName = "default" },
		`toleration {"key":"b"}`:                                     func(s *corev1.PodSpec) { s.Tolerations = s.Tolerations[:1] },
		`priority class "kept" (seen null)`:                          func(s *corev1.PodSpec) { s.PriorityClassName = "" },
		`priority 7 (seen null)`:                                     func(s *corev1.PodSpec) { s.Priority = nil },
		`host alias {"hostnames":["kept.example"],"ip":"192.0.2.7"}`: func(s *corev1.PodSpec) { s.HostAliases = nil },
		`pull secret {"name":"registry"}`:                            func(s *corev1.PodSpec) { s.ImagePullSecrets = nil },
		`grace period 1 (seen null)`:                                 func(s *corev1.PodSpec) { s.TerminationGracePeriodSeconds = nil },
		`volume {"configMap":{"name":"settings"},"name":"settings"}`: func(s *corev1.PodSpec) {
			s.Volumes[0].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		},
		`security context {"supplementalGroups":[4001]} (seen {"supplementalGroups":[4]})`: func(s *corev1.PodSpec) {
			s.SecurityContext.SupplementalGroups[0] = 4
		},
	} {
		restored := more.DeepCopy()
		change(&restored.Spec)
		require.Equal(t, []string{want}, Lost(source, restored))
	}
}

func TestAnotherImageOfTheSameNameIsNamed(t *testing.T) {
	t.Parallel()
	source := pods.Counter("counter:1", pods.CounterContainer("proxy", "counter:1", 8081), pods.Sidecar())
	source.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "counter", ImageID: "sha256:a"}}
	source.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "proxy", ImageID: "sha256:a"}}
	restored := source.DeepCopy()
	require.NoError(t, SameImages(source, restored))
	restored.Status.InitContainerStatuses[0].ImageID = "sha256:b"
	require.ErrorContains(t, SameImages(source, restored), "the digest of the image of container proxy is sha256:a")
	restored.Status = corev1.PodStatus{}
	require.Error(t, SameImages(source, restored))
}

func TestALostSidecarIsNamedAndAnInitContainerThatHasEndedIsNot(t *testing.T) {
	t.Parallel()
	source := pods.Counter("counter:1", pods.Init("prepare", "busybox:1", "true"), pods.CounterContainer("proxy", "counter:1", 8081), pods.Sidecar())
	require.Len(t, source.Spec.InitContainers, 2)
	require.Len(t, source.Spec.Containers, 1)
	require.Len(t, pods.LongRunning(source), 2)
	restored := source.DeepCopy()
	restored.Spec.InitContainers = restored.Spec.InitContainers[1:]
	require.Empty(t, Lost(source, restored))
	restored.Spec.InitContainers = nil
	require.Equal(t, []string{"container proxy"}, Lost(source, restored))
}
