package manager

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// fakeObjects is a namespace with some objects, and an API server that gives containers a limit.
type fakeObjects struct {
	there map[string]bool
	class bool
	limit string
}

func (f fakeObjects) Exists(_ context.Context, _, kind, name string) error {
	if f.there[kind+"/"+name] {
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, name)
}

func (f fakeObjects) RuntimeClassExists(context.Context, string) error {
	if f.class {
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "runtimeclasses"}, RuntimeClass)
}

func (f fakeObjects) Admit(_ context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	if !f.class {
		return nil, apierrors.NewForbidden(podResource, pod.GenerateName, nil)
	}
	for i := range pod.Spec.Containers {
		if f.limit != "" {
			pod.Spec.Containers[i].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(f.limit)}
		}
	}
	return pod, nil
}

func TestWhatAClusterHasNoPlaceForIsRefusedBeforeThereIsAPod(t *testing.T) {
	t.Parallel()
	optional := true
	pod, err := restoredPod(action, request(t, func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{
			{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}},
			{Name: "extra", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "not-needed", Optional: &optional}}},
			{Name: "mixed", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}},
			}}}},
		}
	}))
	require.NoError(t, err)
	all := map[string]bool{"persistentvolumeclaims/claim": true, "configmaps/settings": true}
	whole := work.ContainerCheckpoint{Container: pod.Spec.Containers[0].Name, Platform: "linux/x86_64", Info: []byte(`{"needs": {"memory": 1048576}}`)}
	elsewhere := whole
	elsewhere.Platform = "linux/aarch64"
	for says, c := range map[string]struct {
		objects    fakeObjects
		checkpoint work.ContainerCheckpoint
	}{
		"":                              {fakeObjects{all, true, "1Mi"}, whole},
		"RuntimeClassMissing: ":         {fakeObjects{all, false, ""}, whole},
		"MemoryLimitTooLow: ":           {fakeObjects{all, true, "512Ki"}, whole},
		"OtherArchitecture: ":           {fakeObjects{all, true, ""}, elsewhere},
		"is made of the config map set": {fakeObjects{map[string]bool{"persistentvolumeclaims/claim": true}, true, ""}, whole},
		"persistent volume claim claim": {fakeObjects{map[string]bool{"configmaps/settings": true}, true, ""}, whole},
	} {
		nodes := cache.NewStore(cache.MetaNamespaceKeyFunc)
		require.NoError(t, nodes.Add(&corev1.Node{Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{Architecture: "amd64"}}}))
		f := newFakePods()
		r, _ := restoring(f, 0)
		r.Build = func(string, *work.Restore) (*corev1.Pod, error) { return pod.DeepCopy(), nil }
		r.Check = checker{c.objects, nodes}.check
		r.Follow = func(_ context.Context, p *corev1.Pod) (*corev1.Pod, error) { return p, nil }
		w := restoreWork(t)
		w.Restore.Containers = []work.ContainerCheckpoint{c.checkpoint}
		got := r.do(t.Context(), w)
		if says == "" {
			require.Empty(t, got.Error)
			continue
		}
		require.Contains(t, got.Error, says)
		require.Empty(t, f.pods, got.Error)
	}
}

// busyObjects are behind an API server that does not get to a request before the time that it gives it.
type busyObjects struct {
	fakeObjects
	tries *int
}

func (b busyObjects) Admit(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	if *b.tries++; *b.tries < 3 {
		return nil, apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
	}
	return b.fakeObjects.Admit(ctx, pod)
}

func TestABusyAPIServerIsAskedAgainBeforeARestore(t *testing.T) {
	t.Parallel()
	tries := 0
	c := checker{busyObjects{fakeObjects{nil, true, ""}, &tries}, nil}
	require.NoError(t, c.admitted(t.Context(), nil, &corev1.Pod{}))
	require.Equal(t, 3, tries)
}

func TestAnImageThatDoesNotComeIsARefusal(t *testing.T) {
	t.Parallel()
	f := newFakePods()
	got := watched(f, func(p *corev1.Pod) *corev1.Pod {
		p = p.DeepCopy()
		containerState(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "connection refused"}})(p)
		return p
	}).do(t.Context(), restoreWork(t))
	require.Regexp(t, `^ImageMissing: restore pod ns/web-restored: .*ErrImagePull: connection refused`, got.Error)
	require.Equal(t, []string{"web-restored"}, f.deleted)
}
