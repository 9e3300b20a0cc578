package pods

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

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
