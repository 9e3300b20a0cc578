// Package bundle reads what containerd and runc keep of a container: its OCI bundle, and its state in a runc root.
package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Annotations that containerd's CRI plugin puts on every container.
const (
	AnnotationType      = "io.kubernetes.cri.container-type"
	AnnotationName      = "io.kubernetes.cri.container-name"
	AnnotationImage     = "io.kubernetes.cri.image-name"
	AnnotationPodUID    = "io.kubernetes.cri.sandbox-uid"
	AnnotationPod       = "io.kubernetes.cri.sandbox-name"
	AnnotationNamespace = "io.kubernetes.cri.sandbox-namespace"
	// TypeContainer is the type of all that is not a pod's sandbox.
	TypeContainer = "container"
)

// CheckpointVariable of its environment names the checkpoint that a container belongs to: its checkpoints are stored under
// that name, and it is restored from the newest of them when its pod is created with the runtime class cedana. The name is
// taken from the container's process and not from the pod's specification, where it may stand in a config map.
const CheckpointVariable = "CEDANA_CHECKPOINT"

// Read reads the config.json of an OCI bundle.
func Read(dir string) (*specs.Spec, error) {
	var spec specs.Spec
	if err := readJSON(filepath.Join(dir, "config.json"), &spec); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return &spec, nil
}

// CheckpointName is the name of the checkpoint that a container declares; empty when it declares none. Of a variable that
// is set more than once the last one counts, as it does for runc.
func CheckpointName(spec *specs.Spec) string {
	name := ""
	if spec.Process == nil {
		return name
	}
	for _, entry := range spec.Process.Env {
		if value, ok := strings.CutPrefix(entry, CheckpointVariable+"="); ok {
			name = value
		}
	}
	return name
}

// MountSource is where on the node a bundle's mount comes from.
func MountSource(dir, destination string) (string, error) {
	spec, err := Read(dir)
	if err != nil {
		return "", err
	}
	for _, m := range spec.Mounts {
		if m.Destination == destination {
			return m.Source, nil
		}
	}
	return "", fmt.Errorf("bundle %s mounts nothing at %s", dir, destination)
}

// State is the part of runc's state.json that is of use here.
type State struct {
	ID          string            `json:"id"`
	Pid         int               `json:"init_process_pid"`
	Created     time.Time         `json:"created"`
	CgroupPaths map[string]string `json:"cgroup_paths"`
	Config      struct {
		// Labels are the container's annotations, "key=value", and "bundle=" its bundle.
		Labels []string `json:"labels"`
	} `json:"config"`
}

// ReadState reads the state of a container in a runc root. A container may go while its root is read: then the error is
// [os.ErrNotExist].
func ReadState(root, id string) (*State, error) {
	var s State
	if err := readJSON(filepath.Join(root, id, "state.json"), &s); err != nil {
		return nil, fmt.Errorf("read runc state: %w", err)
	}
	return &s, nil
}

// Label is the value of one of the container's annotations; empty when it has none of that name.
func (s *State) Label(key string) string {
	for _, label := range s.Config.Labels {
		if value, ok := strings.CutPrefix(label, key+"="); ok {
			return value
		}
	}
	return ""
}

// Dir is the directory of the container's bundle.
func (s *State) Dir() string { return s.Label("bundle") }

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}
