// Package managerfault breaks the stand-in's manager on purpose: decorators of the parts that it restores pods with. They
// act where the propagator says so (package relay), and do nothing else.
package managerfault

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/manager"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// Seams put the faults around a manager's parts.
func Seams() manager.Seams {
	receiver := &relay.Receiver{}
	return manager.Seams{Transport: receiver, Decorate: func(p manager.Parts) manager.Parts { return decorate(p, receiver.Fault) }}
}

func decorate(p manager.Parts, current func() fault.Name) manager.Parts {
	build, check, follow := p.Build, p.Check, p.Follow
	p.Build = func(action string, r *work.Restore) (*corev1.Pod, error) {
		pod, err := build(action, r)
		if err == nil {
			name := current()
			mark(pod, name)
			spoil(pod, action, r, name)
		}
		return pod, err
	}
	p.Check = func(ctx context.Context, r *work.Restore, pod *corev1.Pod) error {
		if name := current(); name == fault.ChecksSkipped {
			warn(name, pod)
			return nil
		}
		return check(ctx, r, pod)
	}
	p.Pods = pods{p.Pods, current}
	p.Follow = func(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
		switch name := current(); name {
		case fault.NoPod, fault.ReadyTooEarly:
			warn(name, pod)
			return pod, nil
		default:
			return follow(ctx, pod)
		}
	}
	return p
}

// mark tells the runtime of the fault. Where there is none, it takes out what a pod of another day has kept of one.
func mark(pod *corev1.Pod, name fault.Name) {
	delete(pod.Annotations, relay.Annotation)
	if name != "" {
		pod.Annotations[relay.Annotation] = string(name)
	}
}

func warn(name fault.Name, pod *corev1.Pod) {
	name.Warn(slog.Default().With("action", pod.Labels[work.LabelRestore], "pod", pod.Namespace+"/"+pod.Name))
}

// spoil changes the pod that is about to be created.
func spoil(pod *corev1.Pod, action string, r *work.Restore, name fault.Name) {
	foreign := func(key, _ string) bool { return !strings.HasPrefix(key, work.AnnotationPrefix) }
	spoil := map[fault.Name]func(){
		fault.LabelsLost:         func() { maps.DeleteFunc(pod.Labels, foreign) },
		fault.AnnotationsLost:    func() { maps.DeleteFunc(pod.Annotations, foreign) },
		fault.EnvironmentLost:    func() { eachContainer(pod, func(c *corev1.Container) { c.Env = nil }) },
		fault.LimitsLost:         func() { eachContainer(pod, func(c *corev1.Container) { c.Resources.Limits = nil }) },
		fault.ServiceAccountLost: func() { pod.Spec.ServiceAccountName, pod.Spec.DeprecatedServiceAccount = "", "" },
		fault.TolerationsLost:    func() { pod.Spec.Tolerations = nil },
		fault.PriorityLost:       func() { pod.Spec.PriorityClassName, pod.Spec.Priority, pod.Spec.PreemptionPolicy = "", nil, nil },
		fault.HostAliasesLost:    func() { pod.Spec.HostAliases = nil },
		fault.PullSecretsLost:    func() { pod.Spec.ImagePullSecrets = nil },
		fault.GracePeriodLost:    func() { pod.Spec.TerminationGracePeriodSeconds = nil },
		fault.VolumesLost:        func() { emptyConfigMaps(pod) },
		fault.ImageDiffers:       func() { eachContainer(pod, func(c *corev1.Container) { c.Image = anotherImage }) },
		fault.NameUnrelated:      func() { pod.Name = "pod-" + action[:min(8, len(action))] },
		fault.WrongNode:          func() { pod.Spec.NodeSelector, pod.Spec.Affinity = nil, awayFrom(r.Pod) },
		// Else the kubelet would notice what the runtime does.
		fault.NotListening: func() { eachContainer(pod, withoutReadiness) },
		fault.ClockStops:   func() { eachContainer(pod, withoutReadiness) },
		// So that there is time to see that the pod is not.
		fault.ReadyTooEarly: func() { eachContainer(pod, late) },
		// So that one probe that fails is enough.
		fault.ReadinessFlaps: func() { eachContainer(pod, impatient) },
	}[name]
	if spoil != nil {
		warn(name, pod)
		spoil()
	}
}

// anotherImage is on every node. It has not the program that is restored; the helper puts that into the checkpoint.
const anotherImage = "cedana-e2e.local/pause:1"

func eachContainer(pod *corev1.Pod, do func(*corev1.Container)) {
	for i := range pod.Spec.Containers {
		do(&pod.Spec.Containers[i])
	}
}

// emptyConfigMaps names config maps that there are not, and may be none: the kubelet mounts empty directories, and nobody
// sees volumes of another type.
func emptyConfigMaps(pod *corev1.Pod) {
	optional := true
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.ConfigMap != nil {
			v.ConfigMap.Name, v.ConfigMap.Optional = "there-is-none", &optional
		}
	}
}

func withoutReadiness(c *corev1.Container) { c.ReadinessProbe = nil }

func late(c *corev1.Container) {
	if p := c.ReadinessProbe; p != nil {
		p.InitialDelaySeconds = 3
	}
}

func impatient(c *corev1.Container) {
	if p := c.ReadinessProbe; p != nil {
		p.FailureThreshold, p.PeriodSeconds, p.TimeoutSeconds = 1, 1, 1
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

// pods creates no pod, or two, or deletes none.
type pods struct {
	manager.Pods
	current func() fault.Name
}

func (p pods) Create(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	switch name := p.current(); name {
	case fault.NoPod:
		warn(name, pod)
		return pod.DeepCopy(), nil
	case fault.TwoPods:
		created, err := p.Pods.Create(ctx, pod)
		if err != nil {
			return created, err
		}
		warn(name, pod)
		second := pod.DeepCopy()
		second.Name = manager.FitName(pod.Namespace, pod.Name, "-twin")
		if _, err := p.Pods.Create(ctx, second); err != nil {
			return created, fmt.Errorf("create pod %s/%s: %w", second.Namespace, second.Name, err)
		}
		return created, nil
	default:
		return p.Pods.Create(ctx, pod)
	}
}

func (p pods) Delete(ctx context.Context, pod *corev1.Pod) error {
	if name := p.current(); name == fault.RefusedPodStays {
		warn(name, pod)
		return nil
	}
	return p.Pods.Delete(ctx, pod)
}
