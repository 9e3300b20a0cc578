package helper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
)

// Container is a running container of a pod, as runc knows it.
type Container struct {
	ID   string
	Name string
	// Declared is the name that the container declares for its checkpoints; empty when it declares none.
	Declared string
	Image    string
	Pid      int
	Bundle   string
	Created  time.Time
	Freezer  Freezer
}

// findContainers lists the running containers of the pod with that UID in a runc root, in the order of the pod's spec.
func findContainers(root, uid string, pod *corev1.Pod) ([]Container, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("runc root %s does not exist on this node (RUNC_ROOT)", root)
	}
	if err != nil {
		return nil, fmt.Errorf("read runc root: %w", err)
	}
	var found []Container
	for _, entry := range entries {
		c, err := readContainer(root, entry.Name(), uid)
		if err != nil {
			return nil, err
		}
		if c != nil {
			found = append(found, *c)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("runc root %s has no running container of pod %s (uid %s): if the pod runs, containerd keeps runc's state elsewhere, and RUNC_ROOT has to name that", root, podName(pod), uid)
	}
	return inSpecOrder(found, pod)
}

// readContainer returns nil for what is no running container of the pod. A container may go while its root is read.
func readContainer(root, id, uid string) (*Container, error) {
	s, err := bundle.ReadState(root, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s.Label(bundle.AnnotationPodUID) != uid || s.Label(bundle.AnnotationType) != bundle.TypeContainer || !alive(s.Pid) {
		return nil, nil
	}
	f, err := newFreezer(s.CgroupPaths)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", s.Label(bundle.AnnotationName), err)
	}
	return &Container{
		ID: id, Name: s.Label(bundle.AnnotationName), Image: s.Label(bundle.AnnotationImage), Pid: s.Pid,
		Bundle: s.Dir(), Created: s.Created, Freezer: f,
	}, nil
}

// readDeclared fills in the names that containers declare for their checkpoints.
func readDeclared(containers []Container) error {
	for i := range containers {
		c := &containers[i]
		spec, err := bundle.Read(c.Bundle)
		if err != nil {
			return fmt.Errorf("container %s: %w", c.Name, err)
		}
		c.Declared = bundle.CheckpointName(spec)
	}
	return nil
}

// alive reports whether a process is there and no zombie.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(data), ") ")
	return after != "" && after[0] != 'Z' && after[0] != 'X'
}

// inSpecOrder sorts containers as the pod's spec has them and misses none: a checkpoint without one of the pod's
// containers is no checkpoint of the pod.
func inSpecOrder(found []Container, pod *corev1.Pod) ([]Container, error) {
	if pod == nil {
		sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
		return found, nil
	}
	byName := map[string]Container{}
	for _, c := range found {
		byName[c.Name] = c
	}
	var ordered []Container
	for _, name := range longRunning(pod) {
		c, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("container %s of pod %s is not running: a checkpoint would lack it", name, podName(pod))
		}
		ordered = append(ordered, c)
		delete(byName, name)
	}
	for name := range byName {
		return nil, fmt.Errorf("container %s of pod %s is not one of its long-running containers: an init container still at work or an ephemeral one cannot be restored", name, podName(pod))
	}
	return ordered, nil
}

// longRunning names the containers that run as long as the pod, in the order in which kubelet starts them: sidecars
// (init containers that are always restarted), then the containers proper.
func longRunning(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			names = append(names, c.Name)
		}
	}
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	return names
}

// ownedVolumes says which emptyDir volumes go into whose archive: each into that of the first container that mounts it,
// which is also the first to be restored. Where only some containers declare a checkpoint, a restore of a declared pod
// restores those alone: then the first of them that mounts it has it too.
func ownedVolumes(pod *corev1.Pod, declaring []string) map[string][]string {
	owned := map[string][]string{}
	if pod == nil {
		return owned
	}
	mounts := map[string][]corev1.VolumeMount{}
	for _, c := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		mounts[c.Name] = c.VolumeMounts
	}
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir == nil {
			continue
		}
		for _, group := range [][]string{longRunning(pod), declaring} {
			if owner := firstToMount(v.Name, group, mounts); owner != "" && !slices.Contains(owned[owner], v.Name) {
				owned[owner] = append(owned[owner], v.Name)
			}
		}
	}
	return owned
}

// declaring names the containers that declare a checkpoint, in their order.
func declaring(containers []Container) []string {
	var names []string
	for _, c := range containers {
		if c.Declared != "" {
			names = append(names, c.Name)
		}
	}
	return names
}

func firstToMount(volume string, containers []string, mounts map[string][]corev1.VolumeMount) string {
	for _, name := range containers {
		for _, m := range mounts[name] {
			if m.Name == volume {
				return name
			}
		}
	}
	return ""
}

func podName(pod *corev1.Pod) string {
	if pod == nil {
		return "(unknown)"
	}
	return pod.Namespace + "/" + pod.Name
}
