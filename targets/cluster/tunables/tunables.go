// Package tunables sets back what a kubelet changes in the kernel that a node shares with its host: an oops reboots the
// machine then, for one. A kubelet cannot be told to leave these as they are.
package tunables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Label is on the node containers: the tunables as they were before a kubelet changed them, `NAME=VALUE NAME=VALUE`. There
// it outlives the run and its E2E_HOME.
const Label = "ai.cedana.e2e.kernel-tunables"

// ProcSys is where the kernel has its tunables.
const ProcSys = "/proc/sys"

// kubelets are the values that a kubelet sets (setupKernelTunables in pkg/kubelet/cm/container_manager_linux.go of v1.37).
var kubelets = map[string]string{
	"kernel.keys.root_maxbytes": "25000000",
	"kernel.keys.root_maxkeys":  "1000000",
	"kernel.panic":              "10",
	"kernel.panic_on_oops":      "1",
	"vm.overcommit_memory":      "1",
	"vm.panic_on_oom":           "0",
}

// Engine is what [SetBack] needs of a Docker client.
type Engine interface {
	docker.Engine
	docker.Logs
	ContainerCreate(context.Context, *container.Config, *container.HostConfig, *network.NetworkingConfig, *ocispec.Platform, string) (container.CreateResponse, error)
	ContainerStart(context.Context, string, container.StartOptions) error
	ContainerWait(context.Context, string, container.WaitCondition) (<-chan container.WaitResponse, <-chan error)
}

// Before returns the label for nodes that are about to be made in the engine: what differs from the kubelet's values, and
// what did before the nodes that are there already. It is empty where nothing does, and where the engine is not on this
// machine's kernel, whose tunables are below procSys.
func Before(ctx context.Context, e interface {
	docker.Engine
	Info(context.Context) (system.Info, error)
	DaemonHost() string
}, procSys string) (string, error) {
	info, err := e.Info(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the Docker engine for its kernel: %w", err)
	}
	release, err := os.ReadFile(filepath.Join(procSys, "kernel/osrelease"))
	if err != nil || !strings.HasPrefix(e.DaemonHost(), "unix://") || info.KernelVersion != strings.TrimSpace(string(release)) {
		return "", nil // a remote engine, or one in a virtual machine
	}
	nodes, err := labelled(ctx, e)
	if err != nil {
		return "", err
	}
	before := earlier(nodes)
	for name, kubelets := range kubelets {
		now, err := os.ReadFile(filepath.Join(procSys, strings.ReplaceAll(name, ".", "/")))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read kernel tunable %s: %w", name, err)
		}
		if now := strings.TrimSpace(string(now)); now != kubelets {
			before[name] = now
		}
	}
	var label []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		label = append(label, name+"="+before[name])
	}
	return strings.Join(label, " "), nil
}

func labelled(ctx context.Context, e docker.Engine) ([]docker.Object, error) {
	return docker.List(ctx, e, filters.NewArgs(filters.Arg("label", Label)))
}

// earlier is what the nodes' labels say.
func earlier(nodes []docker.Object) map[string]string {
	before := map[string]string{}
	for _, node := range nodes {
		for _, field := range strings.Fields(node.Labels[Label]) {
			name, value, _ := strings.Cut(field, "=")
			if _, known := kubelets[name]; known {
				before[name] = value
			}
		}
	}
	return before
}

// script takes name, kubelet's value and value before of each tunable. One that somebody has changed since stays.
const script = `while [ $# -gt 0 ]; do
  file=/proc/sys/$(echo "$1" | tr . /)
  if [ "$(cat "$file")" = "$2" ]; then
    echo "$3" >"$file" || exit 1
    echo "$1 from $2 to $3"
  fi
  shift 3
done`

// SetBack sets the tunables back, in a short-lived privileged container of the node's image, where all nodes in the
// engines with the label are going. It is to be called before they go, as they have the values. It returns what it has
// changed, a line for each, and does nothing where a node stays.
func SetBack[E Engine](ctx context.Context, engines []E, going func(docker.Object) bool) (changed string, err error) {
	before, in := map[string]string{}, -1
	var node docker.Object
	for i, e := range engines {
		nodes, err := labelled(ctx, e)
		if err != nil {
			return "", fmt.Errorf("look for nodes with kernel tunables: %w", err)
		}
		if slices.ContainsFunc(nodes, func(o docker.Object) bool { return !going(o) }) {
			return "", nil
		}
		if len(nodes) > 0 {
			in, node = i, nodes[0]
			maps.Copy(before, earlier(nodes))
		}
	}
	if len(before) == 0 {
		return "", nil
	}
	argv, by := []string{"/bin/sh", "-c", script, "sh"}, "sysctl -w"
	for _, name := range slices.Sorted(maps.Keys(before)) {
		argv = append(argv, name, kubelets[name], before[name])
		by += " " + name + "=" + before[name]
	}
	changed, err = run(ctx, engines[in], node, argv)
	if err != nil {
		return changed, fmt.Errorf("set back the kernel tunables that a kubelet has changed: %w (next: `%s`)", err, by)
	}
	return changed, nil
}

// cleanTimeout bounds the removal of the container after the caller's end.
const cleanTimeout = 3 * time.Second

// run returns the output of a program in a privileged container like the node.
func run(ctx context.Context, e Engine, node docker.Object, argv []string) (output string, err error) {
	labels := map[string]string{}
	for _, key := range []string{settings.DockerLabel, settings.DockerLabelCluster, settings.DockerLabelRun, settings.DockerLabelOwner} {
		labels[key] = node.Labels[key]
	}
	made, err := e.ContainerCreate(ctx, &container.Config{Image: node.Image, Entrypoint: argv[:1], Cmd: argv[1:], Labels: labels},
		&container.HostConfig{Privileged: true, NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		return "", fmt.Errorf("create a container of %s: %w", node.Image, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = errors.Join(err, docker.Remove(ctx, e, []docker.Object{{Kind: docker.Container, ID: made.ID}}))
	}()
	if err := e.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return "", fmt.Errorf("start a container of %s: %w", node.Image, err)
	}
	ended, failed := e.ContainerWait(ctx, made.ID, container.WaitConditionNotRunning)
	var status int64
	select {
	case err := <-failed:
		return "", fmt.Errorf("wait for a container of %s: %w", node.Image, err)
	case how := <-ended:
		status = how.StatusCode
	}
	output, err = docker.Tail(ctx, e, made.ID, len(argv))
	if status != 0 {
		return output, errors.Join(fmt.Errorf("exit status %d: %s", status, output), err)
	}
	return output, err
}
