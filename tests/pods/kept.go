package pods

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Kinds makes the last container, a counter, have every kind of state, files of every sort in the directories given by
// name, and changes to the files that its image has in the directory imageDir.
func Kinds(imageDir string, trees map[string]string) Option {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		list = append(list, name+":"+trees[name])
	}
	return options(Env("COUNTER_KINDS", "all"), Env("COUNTER_IMAGE", imageDir), Env("COUNTER_TREES", strings.Join(list, ",")))
}

// Limits are the last container's.
func Limits(cpu, memory string) Option {
	return func(p *corev1.Pod) {
		last(p).Resources.Limits = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		}
	}
}

// WorkingDir is the last container's.
func WorkingDir(path string) Option { return func(p *corev1.Pod) { last(p).WorkingDir = path } }

// Annotated sets an annotation.
func Annotated(key, value string) Option {
	return func(p *corev1.Pod) { p.Annotations[key] = value }
}

// Restart sets what happens to containers that end.
func Restart(policy corev1.RestartPolicy) Option {
	return func(p *corev1.Pod) { p.Spec.RestartPolicy = policy }
}

// User is whom all containers run as, and Groups which groups they are in besides.
func User(uid, gid int64) Option {
	return func(p *corev1.Pod) {
		context := security(p)
		context.RunAsUser, context.RunAsGroup = &uid, &gid
	}
}

// Groups are those that all containers are in besides their own.
func Groups(ids ...int64) Option {
	return func(p *corev1.Pod) { security(p).SupplementalGroups = ids }
}

// RuntimeDefaultSeccomp has the container runtime's own filter of system calls, which is none otherwise.
func RuntimeDefaultSeccomp() Option {
	return func(p *corev1.Pod) {
		security(p).SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
}

// RuntimeDefaultAppArmor confines the pod by the container runtime's AppArmor profile.
func RuntimeDefaultAppArmor() Option {
	return func(p *corev1.Pod) {
		security(p).AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	}
}

// OwnedBy gives the pod's volumes to a group.
func OwnedBy(gid int64) Option {
	return func(p *corev1.Pod) { security(p).FSGroup = &gid }
}

func security(p *corev1.Pod) *corev1.PodSecurityContext {
	if p.Spec.SecurityContext == nil {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	return p.Spec.SecurityContext
}

// MemoryDir mounts an emptyDir of medium Memory into the last container.
func MemoryDir(name, path string) Option {
	return mount(corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory},
	}}, path, false)
}

// Secret mounts a secret of that name into the last container.
func Secret(name, path string) Option {
	return mount(corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: name},
	}}, path, true)
}

// PodInfo mounts what the pod is called and its labels into the last container, as files name and labels.
func PodInfo(path string) Option {
	field := func(file, of string) corev1.DownwardAPIVolumeFile {
		return corev1.DownwardAPIVolumeFile{Path: file, FieldRef: &corev1.ObjectFieldSelector{FieldPath: of}}
	}
	return mount(corev1.Volume{Name: "pod-info", VolumeSource: corev1.VolumeSource{
		DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{field("name", "metadata.name"), field("labels", "metadata.labels")}},
	}}, path, true)
}

func options(all ...Option) Option {
	return func(p *corev1.Pod) {
		for _, o := range all {
			o(p)
		}
	}
}

// Ended is how a container ended, nil when it has not.
func Ended(p *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	if p == nil {
		return nil
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == container {
			return c.State.Terminated
		}
	}
	return nil
}
