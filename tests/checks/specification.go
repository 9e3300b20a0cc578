package checks

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/tests/pods"
)

// Lost is what of the source's labels, annotations, environment, limits and node selector a restored pod does not have, in words; empty when
// nothing is lost. A restored pod may have more.
func Lost(source, restored *corev1.Pod) []string {
	lost := lostKeys("label", source.Labels, restored.Labels)
	lost = append(lost, lostKeys("annotation", source.Annotations, restored.Annotations)...)
	lost = append(lost, lostKeys("node selector", source.Spec.NodeSelector, restored.Spec.NodeSelector)...)
	for _, c := range pods.LongRunning(source) {
		there := find(pods.LongRunning(restored), c.Name)
		if there == nil {
			continue // which LostLimits names
		}
		env := map[string]string{}
		for _, v := range there.Env {
			env[v.Name] = v.Value
		}
		for _, v := range c.Env {
			if got, ok := env[v.Name]; !ok || got != v.Value {
				lost = append(lost, fmt.Sprintf("env %s=%q of container %s (seen %q)", v.Name, v.Value, c.Name, got))
			}
		}
	}
	return append(lost, LostLimits(source, restored)...)
}

func lostKeys(kind string, want, got map[string]string) []string {
	var lost []string
	for k, v := range want {
		// Cedana's own marks name the restore that made the pod: a second one has others.
		if strings.HasPrefix(k, "cedana.ai/") {
			continue
		}
		if g, ok := got[k]; !ok || g != v {
			lost = append(lost, fmt.Sprintf("%s %s=%q (seen %q)", kind, k, v, g))
		}
	}
	return lost
}

func find(containers []corev1.Container, name string) *corev1.Container {
	for i := range containers {
		if containers[i].Name == name {
			return &containers[i]
		}
	}
	return nil
}

// LostLimits is what of the source's resources a restored pod does not have in its spec, in words.
func LostLimits(source, restored *corev1.Pod) []string {
	var lost []string
	for _, c := range pods.LongRunning(source) {
		there := find(pods.LongRunning(restored), c.Name)
		if there == nil {
			lost = append(lost, "container "+c.Name)
			continue
		}
		for kind, lists := range map[string][2]corev1.ResourceList{
			"limit": {c.Resources.Limits, there.Resources.Limits}, "request": {c.Resources.Requests, there.Resources.Requests},
		} {
			for name, want := range lists[0] {
				if got, ok := lists[1][name]; !ok || got.Cmp(want) != 0 {
					lost = append(lost, fmt.Sprintf("%s of %s of container %s, %s (seen %s)", kind, name, c.Name, want.String(), got.String()))
				}
			}
		}
	}
	slices.Sort(lost)
	return lost
}
