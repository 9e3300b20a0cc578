package pods

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// IsReady reports whether a pod's Ready condition is true and it is not being deleted.
func IsReady(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Restarts of all containers of a pod.
func Restarts(p *corev1.Pod) int32 {
	var n int32
	for _, c := range p.Status.InitContainerStatuses {
		n += c.RestartCount
	}
	for _, c := range p.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}

// Describe is a pod's state in one line: phase, readiness, node and what keeps each container.
func Describe(p *corev1.Pod) string {
	if p == nil {
		return "no pod"
	}
	parts := []string{string(p.Status.Phase)}
	if p.Status.Phase == "" {
		parts[0] = "no phase yet"
	}
	if IsReady(p) {
		parts = append(parts, "Ready")
	} else {
		parts = append(parts, "not Ready")
	}
	if p.DeletionTimestamp != nil {
		parts = append(parts, "being deleted")
	}
	if p.Spec.NodeName == "" {
		parts = append(parts, "on no node")
	}
	if p.Status.Reason != "" || p.Status.Message != "" {
		parts = append(parts, strings.TrimSpace(p.Status.Reason+" "+p.Status.Message))
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue {
			parts = append(parts, "not scheduled: "+c.Message)
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		parts = append(parts, "container "+c.Name+" "+describeContainer(c))
	}
	return strings.Join(parts, ", ")
}

func describeContainer(c corev1.ContainerStatus) string {
	var b strings.Builder
	switch s := c.State; {
	case s.Running != nil && c.Ready:
		b.WriteString("running and ready")
	case s.Running != nil:
		b.WriteString("running, not ready")
	case s.Terminated != nil:
		fmt.Fprintf(&b, "ended with code %d %s %s", s.Terminated.ExitCode, s.Terminated.Reason, s.Terminated.Message)
	case s.Waiting != nil:
		fmt.Fprintf(&b, "waiting: %s %s", s.Waiting.Reason, s.Waiting.Message)
		if strings.Contains(s.Waiting.Reason, "Image") {
			fmt.Fprintf(&b, " (E2E_IMAGE_NGINX and E2E_IMAGE_COUNTER choose the images of the tests in a cluster that exists, E2E_IMAGES those of `mage try`; here %s)", c.Image)
		}
	default:
		b.WriteString("not started")
	}
	if c.RestartCount > 0 {
		fmt.Fprintf(&b, ", restarted %d times", c.RestartCount)
		if l := c.LastTerminationState.Terminated; l != nil {
			fmt.Fprintf(&b, " (last: code %d %s %s)", l.ExitCode, l.Reason, l.Message)
		}
	}
	return strings.TrimSpace(b.String())
}
