package pods

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestLostLimitsAreNamed(t *testing.T) {
	t.Parallel()
	source := Counter("i", Limits("500m", "320Mi"))
	restored := source.DeepCopy()
	require.Empty(t, LostLimits(source, restored))

	restored.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory] = resource.MustParse("1Gi")
	delete(restored.Spec.Containers[0].Resources.Limits, corev1.ResourceCPU)
	restored.Spec.Containers[0].Resources.Requests = nil
	require.Equal(t, []string{
		"limit of cpu of container counter, 500m (seen 0)", "limit of memory of container counter, 320Mi (seen 1Gi)",
		"request of cpu of container counter, 5m (seen 0)", "request of memory of container counter, 16Mi (seen 0)",
	}, LostLimits(source, restored))
	restored.Spec.Containers = nil
	require.Equal(t, []string{"container counter"}, LostLimits(source, restored))
}

func TestAContainersEndIsToldOnceItHasEnded(t *testing.T) {
	t.Parallel()
	require.Nil(t, Ended(nil, "counter"))
	p := Counter("i")
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "counter"}}
	require.Nil(t, Ended(p, "counter"))
	p.Status.ContainerStatuses[0].State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 37, Message: "last words"}
	require.EqualValues(t, 37, Ended(p, "counter").ExitCode)
	require.Nil(t, Ended(p, "other"))
}

func TestKindsAreAskedForByTheCountersEnvironment(t *testing.T) {
	t.Parallel()
	p := Counter("i", Kinds("/image", map[string]string{"b": "/b/tree", "a": "/a"}), User(1, 2), Groups(3), OwnedBy(4), MemoryDir("m", "/m"))
	env := map[string]string{}
	for _, v := range p.Spec.Containers[0].Env {
		env[v.Name] = v.Value
	}
	require.Equal(t, "all", env["COUNTER_KINDS"])
	require.Equal(t, "a:/a,b:/b/tree", env["COUNTER_TREES"])
	require.Equal(t, "/image", env["COUNTER_IMAGE"])
	require.EqualValues(t, 1, *p.Spec.SecurityContext.RunAsUser)
	require.EqualValues(t, 2, *p.Spec.SecurityContext.RunAsGroup)
	require.Equal(t, []int64{3}, p.Spec.SecurityContext.SupplementalGroups)
	require.EqualValues(t, 4, *p.Spec.SecurityContext.FSGroup)
	require.Equal(t, corev1.StorageMediumMemory, p.Spec.Volumes[0].EmptyDir.Medium)
}
