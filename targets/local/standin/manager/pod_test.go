package manager

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

const action = "8d7b1f3e-1111-4222-8333-444455556666"

func request(t *testing.T, change func(*corev1.Pod)) *work.Restore {
	t.Helper()
	always := corev1.ContainerRestartPolicyAlways
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web", Namespace: "ns", UID: "old", ResourceVersion: "7", GenerateName: "web-", Generation: 3,
			CreationTimestamp: metav1.Now(), Finalizers: []string{"f"},
			Labels:          map[string]string{"app": "web", "pod-template-hash": "abc"},
			Annotations:     map[string]string{"note": "kept"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-abc"}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "m"}},
		},
		Spec: corev1.PodSpec{
			NodeName:           "node-1",
			NodeSelector:       map[string]string{"disk": "fast"},
			ServiceAccountName: "sa",
			InitContainers:     []corev1.Container{{Name: "once"}, {Name: "sidecar", RestartPolicy: &always}},
			Containers: []corev1.Container{{
				Name: "nginx", Image: "i",
				ReadinessProbe: &corev1.Probe{InitialDelaySeconds: 30, PeriodSeconds: 2},
				LivenessProbe:  &corev1.Probe{InitialDelaySeconds: 30},
			}},
			EphemeralContainers: []corev1.EphemeralContainer{{}},
			SchedulingGates:     []corev1.PodSchedulingGate{{Name: "g"}},
			Overhead:            corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
			Volumes:             []corev1.Volume{{Name: "kube-api-access-x"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.9"},
	}
	if change != nil {
		change(p)
	}
	data, err := json.Marshal(p)
	require.NoError(t, err)
	return &work.Restore{CheckpointActionID: "the-checkpoint", Pod: data}
}

func TestRestoredPodIsWhatTheUserWroteAndNothingOfTheOldLife(t *testing.T) {
	t.Parallel()
	got, err := restoredPod(action, request(t, nil))
	require.NoError(t, err)
	runtimeClass, always := "cedana", corev1.ContainerRestartPolicyAlways
	require.Equal(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-restored", Namespace: "ns",
			Labels: map[string]string{"app": "web", "cedana.ai/restore-action": action},
			Annotations: map[string]string{
				"note": "kept", "cedana.ai/restore-action": action, "cedana.ai/checkpoint-action": "the-checkpoint",
			},
		},
		Spec: corev1.PodSpec{
			NodeSelector:       map[string]string{"disk": "fast"},
			ServiceAccountName: "sa",
			RuntimeClassName:   &runtimeClass,
			InitContainers:     []corev1.Container{{Name: "sidecar", RestartPolicy: &always}},
			Containers: []corev1.Container{{
				Name: "nginx", Image: "i",
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 2},
				LivenessProbe:  &corev1.Probe{InitialDelaySeconds: 30},
			}},
			Volumes: []corev1.Volume{{Name: "kube-api-access-x"}},
		},
	}, got)
}

func TestARestoredPodRestoredAgainNamesTheNewCheckpoint(t *testing.T) {
	t.Parallel()
	got, err := restoredPod(action, request(t, func(p *corev1.Pod) {
		p.Name = "web-restored"
		p.Labels[work.LabelRestore] = "earlier"
		p.Annotations[work.AnnotationRestore], p.Annotations[work.AnnotationCheckpoint] = "earlier", "earlier"
	}))
	require.NoError(t, err)
	require.Equal(t, "web-restored", got.Name)
	require.Equal(t, action, got.Labels[work.LabelRestore])
	require.Equal(t, "the-checkpoint", got.Annotations[work.AnnotationCheckpoint])
	require.Equal(t, action, got.Annotations[work.AnnotationRestore])
}

func TestAPodWithoutLabelsAndAWantedName(t *testing.T) {
	t.Parallel()
	r := request(t, func(p *corev1.Pod) { p.Labels, p.Annotations = nil, nil })
	r.PodName = "wanted"
	got, err := restoredPod(action, r)
	require.NoError(t, err)
	require.Equal(t, "wanted", got.Name)
	require.Equal(t, map[string]string{work.LabelRestore: action}, got.Labels)
}

func TestWhatIsNoPodIsRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{}`, `{"metadata":{"name":"a","namespace":"b"}}`, `[]`, ``} {
		_, err := restoredPod(action, &work.Restore{Pod: json.RawMessage(raw)})
		require.ErrorContains(t, err, "checkpointed pod", raw)
	}
}

// The kubelet's directory for a pod's logs, NAMESPACE_NAME_UID, has at most 255 characters.
func TestRestoredNamesHoldTheOriginalsAndFit(t *testing.T) {
	t.Parallel()
	const most = 255 - len("ns") - len("__") - 36
	fits := most - len("-restored")
	for original, want := range map[string]string{
		"web":                                 "web-restored",
		"web-restored":                        "web-restored",
		"web-restored-8d7b1":                  "web-restored-8d7b1-restored",
		"restored":                            "restored-restored",
		strings.Repeat("n", fits):             strings.Repeat("n", fits) + "-restored",
		strings.Repeat("n", most):             strings.Repeat("n", fits) + "-restored",
		strings.Repeat("n", 253):              strings.Repeat("n", fits) + "-restored",
		strings.Repeat("n", fits-1) + "-abcd": strings.Repeat("n", fits-1) + "-restored",
	} {
		got := restoredName("ns", original)
		require.Equal(t, want, got)
		require.LessOrEqual(t, len(got), most)
		if len(original) <= fits {
			require.Contains(t, got, strings.TrimSuffix(original, "-restored"))
		}
		require.Contains(t, got, "restored")
	}
	require.Equal(t, "web-restored-8d7b1", otherName("ns", "web-restored", action))
	require.Len(t, otherName("ns", strings.Repeat("n", 253), action), most)
	require.Len(t, restoredName(strings.Repeat("n", 63), strings.Repeat("n", 253)), 255-63-2-36)
}

func status(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}}
	change(p)
	return p
}

func containerState(s corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", State: s}}
	}
}

func TestOutcomeOfARestore(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Now())
	for name, c := range map[string]struct {
		change  func(*corev1.Pod)
		ready   bool
		failure string
		state   string
	}{
		"just created": {change: func(*corev1.Pod) {}, state: "Pending"},
		"ready": {change: func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}, ready: true, state: "Ready"},
		"no room": {change: func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes available"}}
		}, state: "Unschedulable: 0/1 nodes available"},
		"being created": {change: containerState(corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}), state: "ContainerCreating"},
		"refused by CRIU": {change: containerState(corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "RunContainerError", Message: "bad size 51"}}), failure: "bad size 51"},
		"image missing": {change: containerState(corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull", Message: "not present"}}), failure: "not present"},
		"died": {change: containerState(corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "why"}}), failure: "exit code 128: StartError: why"},
		"started afresh by kubelet": {change: func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", RestartCount: 1,
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2}},
				State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}, failure: "exit code 2"},
		"evicted": {change: func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "disk pressure"
		}, failure: "Evicted: disk pressure"},
		"deleted": {change: func(p *corev1.Pod) { p.DeletionTimestamp = &now }, failure: "deleted", state: "deleting"},
	} {
		ready, failure, state := outcome(status(c.change))
		require.Equal(t, c.ready, ready, name)
		require.Contains(t, failure, c.failure, name)
		require.Equal(t, c.failure == "", failure == "", name)
		require.Contains(t, state, c.state, name)
	}
}
