package manager

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

const (
	// RuntimeClass is the handler that restores.
	RuntimeClass = "cedana"

	nameSuffix    = "-restored"
	maxNameLength = 253 // of a pod's name, a DNS subdomain
	// maxDirLength is of a file's name. The kubelet makes a directory called NAMESPACE_NAME_UID for a pod's logs, and a
	// pod whose name is too long for that never starts.
	maxDirLength  = 255
	uidLength     = 36
	actionLetters = 5
)

// controllerLabels tie a pod to the controller that made it. A restored pod has no owner (see restoredPod), and with
// these a ReplicaSet, Job or StatefulSet would adopt it and delete it as one too many.
var controllerLabels = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation",
	"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name",
	"batch.kubernetes.io/job-completion-index", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
}

// restoredPod makes the pod to create from the one that was checkpointed. It keeps what the user wrote and drops what
// belonged to the one life of the original:
//   - uid, resourceVersion, status, node and everything else that the API server and the scheduler set;
//   - owner references: the owner has replaced the original already and would delete the restored pod as surplus;
//   - init containers that have done their work: a second run would change what the restored processes rely on;
//   - ephemeral containers and scheduling gates, which cannot be given at creation or would hold the pod back;
//   - the overhead of another runtime class;
//   - the wait before the first readiness probe.
func restoredPod(action string, r *work.Restore) (*corev1.Pod, error) {
	var original corev1.Pod
	if err := json.Unmarshal(r.Pod, &original); err != nil {
		return nil, fmt.Errorf("read the checkpointed pod: %w", err)
	}
	if original.Name == "" || original.Namespace == "" || len(original.Spec.Containers) == 0 {
		return nil, fmt.Errorf("read the checkpointed pod: %q in namespace %q with %d containers is no pod",
			original.Name, original.Namespace, len(original.Spec.Containers))
	}
	spec := original.Spec.DeepCopy()
	spec.NodeName = ""
	spec.EphemeralContainers = nil
	spec.SchedulingGates = nil
	spec.Overhead = nil
	spec.InitContainers = sidecars(spec.InitContainers)
	// The wait before the first readiness probe is for a program to start up, and this one has.
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			if probe := containers[i].ReadinessProbe; probe != nil {
				probe.InitialDelaySeconds = 0
			}
		}
	}
	runtimeClass := RuntimeClass
	spec.RuntimeClassName = &runtimeClass
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.PodName, Namespace: original.Namespace,
			Labels: maps.Clone(original.Labels), Annotations: maps.Clone(original.Annotations),
		},
		Spec: *spec,
	}
	if pod.Name == "" {
		pod.Name = restoredName(original.Namespace, original.Name)
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	for _, label := range controllerLabels {
		delete(pod.Labels, label)
	}
	pod.Labels[work.LabelRestore] = action
	pod.Annotations[work.AnnotationRestore] = action
	pod.Annotations[work.AnnotationCheckpoint] = r.CheckpointActionID
	return pod, nil
}

// sidecars are the init containers that run as long as the pod.
func sidecars(init []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range init {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = append(out, c)
		}
	}
	return out
}

// restoredName is the original's name with one -restored at its end, however often the pod was restored: whoever looks
// for a restored pod looks for that, and for the original's name in it.
func restoredName(namespace, original string) string {
	return FitName(namespace, strings.TrimSuffix(original, nameSuffix), nameSuffix)
}

// otherName is for when name is taken, by an earlier restored pod for one.
func otherName(namespace, name, action string) string {
	letters := strings.ReplaceAll(action, "-", "")
	if len(letters) > actionLetters {
		letters = letters[:actionLetters]
	}
	return FitName(namespace, name, "-"+letters)
}

// FitName cuts a name so that it and its suffix are the name of a pod that the kubelet can start in the namespace; what
// is left must not end in a separator.
func FitName(namespace, name, suffix string) string {
	most := min(maxNameLength, maxDirLength-len(namespace)-uidLength-len("__"))
	if over := len(name) + len(suffix) - most; over > 0 {
		name = strings.TrimRight(name[:len(name)-over], "-.")
	}
	return name + suffix
}
