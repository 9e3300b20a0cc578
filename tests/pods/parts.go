package pods

import corev1 "k8s.io/api/core/v1"

// On puts the pod on a node without asking the scheduler. A restored pod is not bound to it.
func On(node string) Option { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

// Avoid keeps the pod, and what is restored from it, away from a node.
func Avoid(node string) Option {
	return func(p *corev1.Pod) { AvoidIn(&p.Spec, node) }
}

// AvoidIn is Avoid for the template of a pod.
func AvoidIn(spec *corev1.PodSpec, node string) {
	spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpNotIn, Values: []string{node}},
			},
		}}},
	}}
}

// Init adds an init container that runs a command and ends. Options that change the last container do not change it.
func Init(name, image string, command ...string) Option {
	return func(p *corev1.Pod) {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{
			Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: command, Resources: requests("8Mi"),
		})
	}
}

// InitEmptyDir mounts the pod's emptyDir of that name, which is made when the pod has none, into its last init container.
func InitEmptyDir(name, path string) Option {
	return func(p *corev1.Pod) {
		ensureVolume(p, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		c := &p.Spec.InitContainers[len(p.Spec.InitContainers)-1]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
	}
}

// Sidecar makes the last container one: an init container that is started before the others and runs as long as they do.
func Sidecar() Option {
	return func(p *corev1.Pod) {
		c := *last(p)
		p.Spec.Containers = p.Spec.Containers[:len(p.Spec.Containers)-1]
		always := corev1.ContainerRestartPolicyAlways
		c.RestartPolicy = &always
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
}

// Probes gives the last container all three probes, each by HTTP on its own path. It is not Ready after one failure of the readiness probe, and killed after three of
// the liveness probe. It has half a minute to start.
func Probes(port int32, startup, readiness, liveness string) Option {
	return func(p *corev1.Pod) {
		c := last(p)
		c.StartupProbe, c.ReadinessProbe, c.LivenessProbe = probe(startup, port), probe(readiness, port), probe(liveness, port)
		c.StartupProbe.FailureThreshold = 30
		c.ReadinessProbe.FailureThreshold = 1
	}
}

// Declared makes the pod one that Cedana restores when it is created, from the newest checkpoint that the last container
// names.
func Declared(checkpoint string) Option {
	return func(p *corev1.Pod) {
		class := "cedana"
		p.Spec.RuntimeClassName = &class
		Env("CEDANA_CHECKPOINT", checkpoint)(p)
	}
}

// LongRunning are the containers that run as long as the pod: its sidecars and its containers proper.
func LongRunning(p *corev1.Pod) []corev1.Container {
	var all []corev1.Container
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return append(all, p.Spec.Containers...)
}
