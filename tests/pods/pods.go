// Package pods builds the pods under test and says in words what state one is in.
package pods

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// CounterPort and NginxPort are where the first container of each kind listens.
const (
	CounterPort = 8080
	NginxPort   = 80
)

// PurposeAnnotation is on every pod under test; a restore has to keep it.
const PurposeAnnotation = "e2e.cedana.ai/purpose"

// Option changes a pod or, for the options that say so, its last container.
type Option func(*corev1.Pod)

// New is a pod without containers: it gets no token for the API, and goes at once when it is deleted. Its label app is
// its name.
func New(name string, opts ...Option) *corev1.Pod {
	no, grace := false, int64(1)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{"app": name},
			Annotations: map[string]string{PurposeAnnotation: "checkpoint and restore, with spaces, \"quotes\" and ü"},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			EnableServiceLinks:           &no,
			// Not 0: that takes a pod out of the API before its processes have ended.
			TerminationGracePeriodSeconds: &grace,
		},
	}
	for _, opt := range opts {
		opt(p)
	}
	return p
}

// Counter is a pod with one counter, named counter.
func Counter(image string, opts ...Option) *corev1.Pod {
	return New("counter", append([]Option{CounterContainer("counter", image, CounterPort)}, opts...)...)
}

// Nginx is a pod with one nginx, as its image has it, named nginx.
func Nginx(image string, opts ...Option) *corev1.Pod {
	return New("nginx", append([]Option{container(corev1.Container{
		Name: "nginx", Image: image, ReadinessProbe: probe("/", NginxPort), Resources: requests("16Mi"),
		Ports: []corev1.ContainerPort{{ContainerPort: NginxPort}},
	})}, opts...)...)
}

// Load is a pod that requests url without end, named load: a counter in load mode. What it expects is in every answer.
func Load(image, url, expect string, opts ...Option) *corev1.Pod {
	return New("load", append([]Option{
		CounterContainer("load", image, CounterPort), Env("COUNTER_LOAD_URL", url), Env("COUNTER_LOAD_EXPECT", expect),
	}, opts...)...)
}

// CounterContainer adds a counter that listens on the port.
func CounterContainer(name, image string, port int32) Option {
	return container(corev1.Container{
		Name: name, Image: image, ReadinessProbe: probe("/healthz", port), Resources: requests("16Mi"),
		Ports: []corev1.ContainerPort{{ContainerPort: port}},
		Env: []corev1.EnvVar{
			{Name: "PORT", Value: strconv.Itoa(int(port))},
			{Name: "E2E_MARK", Value: "kept for " + name},
		},
	})
}

// Shell adds a container that runs a shell's script, and is Ready when that has made the file /tmp/ready.
func Shell(name, image, script string) Option {
	return container(corev1.Container{
		Name: name, Image: image, Command: []string{"sh", "-c", script}, Resources: requests("64Mi"),
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "[ -e /tmp/ready ]"}}},
			PeriodSeconds: 1, TimeoutSeconds: probeSeconds(), FailureThreshold: 3,
		},
	})
}

// Named sets the pod's name; its label app too, unless Labelled comes later.
func Named(name string) Option {
	return func(p *corev1.Pod) {
		p.Name = name
		p.Labels["app"] = name
	}
}

// Labelled sets a label.
func Labelled(key, value string) Option { return func(p *corev1.Pod) { p.Labels[key] = value } }

// Env sets a variable of the last container.
func Env(name, value string) Option {
	return func(p *corev1.Pod) {
		c := last(p)
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

// OnNode lets the pod run on that node alone.
func OnNode(name string) Option {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: name} }
}

// Memory makes the last container, a counter, hold that many MiB of random bytes.
func Memory(mib int) Option { return Env("COUNTER_MEMORY_MIB", strconv.Itoa(mib)) }

// Peer makes the last container, a counter, ask another of its pod at every count how far that has counted.
func Peer(port int) Option { return Env("COUNTER_PEER", PeerAddress(port)) }

// PeerAddress is where a counter is reached from another container of its pod.
func PeerAddress(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// Warmup makes the last container, a counter, take that long until it listens.
func Warmup(d time.Duration) Option { return Env("COUNTER_WARMUP", d.String()) }

// EmptyDir mounts the pod's emptyDir of that name, which is made when the pod has none, into the last container.
func EmptyDir(name, path string) Option {
	return mount(corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}, path, false)
}

// ConfigMap mounts a config map of that name into the last container.
func ConfigMap(name, path string) Option {
	return mount(corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
	}}, path, true)
}

// Claim mounts a persistent volume claim of that name into the last container.
func Claim(name, path string) Option {
	return mount(corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
	}}, path, false)
}

// Command replaces what the last container runs.
func Command(command ...string) Option { return func(p *corev1.Pod) { last(p).Command = command } }

// Ready replaces the path of the last container's readiness probe.
func Ready(path string) Option {
	return func(p *corev1.Pod) { last(p).ReadinessProbe.HTTPGet.Path = path }
}

func mount(volume corev1.Volume, path string, readOnly bool) Option {
	return func(p *corev1.Pod) {
		ensureVolume(p, volume)
		c := last(p)
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume.Name, MountPath: path, ReadOnly: readOnly})
	}
}

func ensureVolume(p *corev1.Pod, volume corev1.Volume) {
	for _, v := range p.Spec.Volumes {
		if v.Name == volume.Name {
			return
		}
	}
	p.Spec.Volumes = append(p.Spec.Volumes, volume)
}

func container(c corev1.Container) Option {
	c.ImagePullPolicy = corev1.PullIfNotPresent
	return func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, *c.DeepCopy()) }
}

func last(p *corev1.Pod) *corev1.Container { return &p.Spec.Containers[len(p.Spec.Containers)-1] }

// probe has patience: kubelet's failed probes are to tell of a process that does not answer, not of a machine that has much
// to do. A pod is no longer Ready after 15 s without an answer, times E2E_TIMEOUT_SCALE.
func probe(path string, port int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port)}},
		PeriodSeconds:    1,
		TimeoutSeconds:   probeSeconds(),
		FailureThreshold: 3,
	}
}

// probeSeconds is how long one answer to a probe may take.
func probeSeconds() int32 { return int32(stretch.Limit(5 * time.Second).Seconds()) }

// requests are small, so that a case fits on a busy node. With a CPU request much smaller than this, the kernel gives a
// pod next to nothing beside other programs, and its probes fail.
func requests(memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

// Service is a service named as the pod's label app, that reaches it on the port.
func Service(app string, port int32) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": app},
			Ports:    []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(port)}},
		},
	}
}

// CounterPorts are where the counters of a pod that run as long as it does listen, in the order of its containers. A load
// pod's is none: it is asked for its load.
func CounterPorts(p *corev1.Pod) []int {
	var ports []int
	for _, c := range LongRunning(p) {
		env := map[string]string{}
		for _, v := range c.Env {
			env[v.Name] = v.Value
		}
		if port, err := strconv.Atoi(env["PORT"]); err == nil && env["COUNTER_LOAD_URL"] == "" {
			ports = append(ports, port)
		}
	}
	return ports
}
