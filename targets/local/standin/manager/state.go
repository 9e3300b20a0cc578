package manager

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// outcome reads from a restored pod whether it is there, has failed, or is still on its way, and its state in words.
func outcome(pod *corev1.Pod) (ready bool, failure, state string) {
	if pod.DeletionTimestamp != nil {
		return false, "it is being deleted", "deleting"
	}
	statuses := containerStatuses(pod)
	for _, s := range statuses {
		if reason := containerFailure(s); reason != "" {
			return false, fmt.Sprintf("container %s: %s", s.Name, reason), ""
		}
	}
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return false, joinReason("it has ended, phase "+string(pod.Status.Phase), pod.Status.Reason, pod.Status.Message), ""
	}
	state = "phase " + string(pod.Status.Phase)
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			return true, "", "Ready"
		case c.Status != corev1.ConditionTrue && (c.Type == corev1.PodScheduled || c.Type == corev1.PodReady):
			state = joinReason(state+", not "+string(c.Type), c.Reason, c.Message)
		}
	}
	for _, s := range statuses {
		if w := s.State.Waiting; w != nil {
			state = joinReason(state+", container "+s.Name+" waiting", w.Reason, w.Message)
		}
	}
	return false, "", state
}

// fatalWaiting are kubelet's reasons after which trying again gives the same: the runtime wrapper does not restore
// behind a restore that it has reported as failed.
var fatalWaiting = map[string]bool{
	"RunContainerError": true, "CreateContainerError": true, "StartError": true, "CrashLoopBackOff": true,
	"CreateContainerConfigError": true,
}

// missingImage are kubelet's reasons when an image is not on the node and does not come. It would try again for as long as
// the pod is there; whoever asked for the restore can do that too.
var missingImage = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "ErrImageNeverPull": true, "InvalidImageName": true,
	"ImageInspectError": true, "RegistryUnavailable": true, "SignatureValidationFailed": true,
}

// imageMissing reports whether a container of a pod waits for an image that does not come.
func imageMissing(pod *corev1.Pod) bool {
	return slices.ContainsFunc(containerStatuses(pod), func(s corev1.ContainerStatus) bool {
		return s.State.Waiting != nil && missingImage[s.State.Waiting.Reason]
	})
}

func containerStatuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// containerFailure is why a container will not be restored, or "" while it may. A restored container that has ended
// was not restored to a state that lives, even when kubelet starts it afresh.
func containerFailure(s corev1.ContainerStatus) string {
	if t := s.State.Terminated; t != nil {
		return terminated(t)
	}
	if t := s.LastTerminationState.Terminated; t != nil {
		return terminated(t)
	}
	if w := s.State.Waiting; w != nil && (fatalWaiting[w.Reason] || missingImage[w.Reason]) {
		return joinReason("cannot start", w.Reason, w.Message)
	}
	if s.RestartCount > 0 {
		return "restarted instead of running on"
	}
	return ""
}

func terminated(t *corev1.ContainerStateTerminated) string {
	return joinReason(fmt.Sprintf("ended with exit code %d", t.ExitCode), t.Reason, t.Message)
}

func joinReason(what string, more ...string) string {
	for _, m := range more {
		if m = strings.TrimSpace(m); m != "" {
			what += ": " + m
		}
	}
	return what
}
