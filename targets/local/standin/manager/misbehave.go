package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// misbehave spoils the pod that a restore is about to create, if that is the regression to show, and hands the
// regression on to the runtime. Without one it only takes out what a pod of another day has kept of it.
func misbehave(pod *corev1.Pod, w *work.Work) {
	delete(pod.Annotations, work.AnnotationRegression)
	if w.Regression == "" {
		return
	}
	pod.Annotations[work.AnnotationRegression] = string(w.Regression)
	foreign := func(key, _ string) bool { return !strings.HasPrefix(key, work.AnnotationPrefix) }
	log := slog.Default().With("action", w.ActionID, "pod", pod.Namespace+"/"+pod.Name)
	switch {
	case w.Regression.Is(fault.LabelsLost, log):
		maps.DeleteFunc(pod.Labels, foreign)
	case w.Regression.Is(fault.AnnotationsLost, log):
		maps.DeleteFunc(pod.Annotations, foreign)
	case w.Regression.Is(fault.EnvironmentLost, log):
		eachContainer(pod, func(c *corev1.Container) { c.Env = nil })
	case w.Regression.Is(fault.LimitsLost, log):
		eachContainer(pod, func(c *corev1.Container) { c.Resources.Limits = nil })
	case w.Regression.Is(fault.NameUnrelated, log):
		pod.Name = "pod-" + w.ActionID[:min(8, len(w.ActionID))]
	case w.Regression.Is(fault.WrongNode, log):
		pod.Spec.NodeSelector, pod.Spec.Affinity = nil, awayFrom(w.Restore.Pod)
	case w.Regression.Is(fault.NotListening, log), w.Regression.Is(fault.ClockStops, log):
		// Else the kubelet would notice.
		eachContainer(pod, func(c *corev1.Container) { c.ReadinessProbe = nil })
	case w.Regression.Is(fault.ReadinessFlaps, log):
		// So that one probe that fails is enough.
		eachContainer(pod, func(c *corev1.Container) {
			if p := c.ReadinessProbe; p != nil {
				p.FailureThreshold, p.PeriodSeconds, p.TimeoutSeconds = 1, 1, 1
			}
		})
	}
}

func eachContainer(pod *corev1.Pod, do func(*corev1.Container)) {
	for i := range pod.Spec.Containers {
		do(&pod.Spec.Containers[i])
	}
}

// awayFrom prefers any node to that of the original. A preference, so that the pod runs where there is no other.
func awayFrom(original json.RawMessage) *corev1.Affinity {
	var pod corev1.Pod
	if json.Unmarshal(original, &pod) != nil {
		return nil // it was read before
	}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: 100,
			Preference: corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{
				Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{pod.Spec.NodeName},
			}}},
		}},
	}}
}

// twin creates a second pod like the one that was just created.
func (r *restorer) twin(ctx context.Context, pod *corev1.Pod) error {
	second := pod.DeepCopy()
	second.Name = fitName(pod.Namespace, pod.Name, "-twin")
	if _, err := r.pods.Create(ctx, second); err != nil {
		return fmt.Errorf("create pod %s/%s: %w", second.Namespace, second.Name, err)
	}
	return nil
}
