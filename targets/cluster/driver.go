package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	k3dlog "github.com/k3d-io/k3d/v5/pkg/logger"
	"github.com/k3d-io/k3d/v5/pkg/runtimes"
	k3ddocker "github.com/k3d-io/k3d/v5/pkg/runtimes/docker"
	runtimetypes "github.com/k3d-io/k3d/v5/pkg/runtimes/types"
	k3d "github.com/k3d-io/k3d/v5/pkg/types"
	"github.com/sirupsen/logrus"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
)

// helperTag is the version of k3d's helper images. As a library k3d does not know its own version and would take the
// tag `latest`.
const helperTag = "5.9.0"

// driving is held while k3d works: it reads its engine from the process's environment, and has its log and labels in globals.
var driving sync.Mutex

// driven lets k3d work on the maker's engine, with labels on all that it makes and its log going to the step.
func (m *maker) driven(step *console.Step, do func(rt runtimes.Runtime) error) error {
	driving.Lock()
	defer driving.Unlock()
	env := map[string]string{
		client.EnvOverrideHost:   m.options.Host,
		"DOCKER_CONTEXT":         "",
		k3d.K3dEnvImageHelperTag: helperTag,
	}
	if m.options.Tools != "" {
		env[k3d.K3dEnvImageTools] = m.options.Tools
	}
	restore, err := setenv(env)
	if err != nil {
		return err
	}
	defer restore()

	labels := m.settings.DockerLabels()
	// k3d puts these on its tools container too.
	before := maps.Clone(k3d.DefaultRuntimeLabelsVar)
	maps.Copy(k3d.DefaultRuntimeLabelsVar, labels)
	defer func() { k3d.DefaultRuntimeLabelsVar = before }()

	heard := &listener{step: step, con: m.con}
	logger := k3dlog.Log()
	oldOut, oldHooks := logger.Out, logger.ReplaceHooks(make(logrus.LevelHooks))
	logger.SetOutput(io.Discard)
	logger.AddHook(heard)
	defer func() {
		logger.SetOutput(oldOut)
		logger.ReplaceHooks(oldHooks)
	}()
	return do(&driver{engine: m.engine, labels: labels, files: make(map[string]*bytes.Buffer)})
}

// setenv sets variables of this process (an empty value removes one) and returns what undoes it.
func setenv(values map[string]string) (restore func(), err error) {
	var undo []func()
	restore = func() {
		for _, f := range undo {
			f()
		}
	}
	for name, value := range values {
		old, had := os.LookupEnv(name)
		undo = append(undo, func() {
			// Both fail only for names that no environment takes; this one took it a moment ago.
			if had {
				_ = os.Setenv(name, old)
			} else {
				_ = os.Unsetenv(name)
			}
		})
		if value == "" {
			err = os.Unsetenv(name)
		} else {
			err = os.Setenv(name, value)
		}
		if err != nil {
			restore()
			return nil, fmt.Errorf("set %s for k3d: %w", name, err)
		}
	}
	return restore, nil
}

// listener is where k3d's log goes: what it does is the step's state, what it warns of is shown.
type listener struct {
	step *console.Step
	con  *console.Console
}

func (*listener) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel, logrus.InfoLevel}
}

func (l *listener) Fire(e *logrus.Entry) error {
	text := strings.TrimSpace(e.Message)
	if e.Level == logrus.InfoLevel {
		l.step.Set("%s", text)
	} else {
		l.con.Warn("k3d: %s", text)
	}
	return nil
}

// driver is k3d's Docker runtime, but puts labels on networks and volumes too (k3d offers that for nodes only), and
// copies the files of a node in one go.
type driver struct {
	k3ddocker.Docker
	engine *client.Client
	labels map[string]string

	mu sync.Mutex
	// files are archives for nodes that were not started yet, by the node's name.
	files map[string]*bytes.Buffer

	// asking is held while k3d asks for a node's state or logs. It does both at once (NodeWaitForLogMessage), with a new
	// client each time, and each new client writes a global of docker/cli (config.SetDir).
	asking sync.Mutex
}

var _ runtimes.Runtime = (*driver)(nil)

// GetNodeStatus is k3d's, one at a time.
func (l *driver) GetNodeStatus(ctx context.Context, node *k3d.Node) (running bool, state string, err error) {
	l.asking.Lock()
	defer l.asking.Unlock()
	return l.Docker.GetNodeStatus(ctx, node)
}

// GetNodeLogs is k3d's, one at a time.
func (l *driver) GetNodeLogs(ctx context.Context, node *k3d.Node, since time.Time, o *runtimetypes.NodeLogsOpts) (io.ReadCloser, error) {
	l.asking.Lock()
	defer l.asking.Unlock()
	return l.Docker.GetNodeLogs(ctx, node, since, o)
}

// WriteToNode keeps a file for a node that does not run until its start. Copying to a container takes the engine a
// tenth of a second and more, and k3d has four files for each node.
func (l *driver) WriteToNode(ctx context.Context, content []byte, dest string, mode os.FileMode, node *k3d.Node) error {
	if node.State.Running {
		return l.Docker.WriteToNode(ctx, content, dest, mode, node)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	archive := l.files[node.Name]
	if archive == nil {
		archive = &bytes.Buffer{}
		l.files[node.Name] = archive
	}
	// Flushed and not closed, so that the next file can follow.
	w := tar.NewWriter(archive)
	err := w.WriteHeader(&tar.Header{Name: dest, Mode: int64(mode), Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("write %s for node %s: %w", dest, node.Name, err)
	}
	return nil
}

// StartNode copies the node's files and starts it.
func (l *driver) StartNode(ctx context.Context, node *k3d.Node) error {
	l.mu.Lock()
	archive := l.files[node.Name]
	delete(l.files, node.Name)
	l.mu.Unlock()
	if archive != nil {
		if err := l.engine.CopyToContainer(ctx, node.Name, "/", archive, container.CopyToContainerOptions{AllowOverwriteDirWithFile: true}); err != nil {
			return fmt.Errorf("copy files to node %s: %w", node.Name, err)
		}
	}
	return l.Docker.StartNode(ctx, node)
}

// GetRuntimePath is the engine's socket. k3d's own answer is the default socket, whatever DOCKER_HOST says.
func (l *driver) GetRuntimePath() string {
	if path, ok := strings.CutPrefix(l.engine.DaemonHost(), "unix://"); ok {
		return path
	}
	return l.Docker.GetRuntimePath()
}

// CreateNetworkIfNotPresent makes the network as k3d does, with the labels. The network never exists: what was there
// was removed, or was foreign and refused.
func (l *driver) CreateNetworkIfNotPresent(ctx context.Context, in *k3d.ClusterNetwork) (*k3d.ClusterNetwork, bool, error) {
	labels := maps.Clone(k3d.DefaultRuntimeLabels)
	maps.Copy(labels, l.labels)
	if _, err := l.engine.NetworkCreate(ctx, in.Name, network.CreateOptions{
		Driver:  "bridge",
		Options: map[string]string{"com.docker.network.bridge.enable_ip_masquerade": "true", "com.docker.network.bridge.name": docker.BridgeName()},
		Labels:  labels,
	}); err != nil {
		return nil, false, fmt.Errorf("create network %s: %w", in.Name, err)
	}
	made, err := l.GetNetwork(ctx, in)
	return made, false, err
}

// CreateVolume makes the volume as k3d does, with the labels.
func (l *driver) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	all := maps.Clone(k3d.DefaultRuntimeLabels)
	maps.Copy(all, labels)
	maps.Copy(all, l.labels)
	if _, err := l.engine.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: all}); err != nil {
		return fmt.Errorf("create volume %s: %w", name, err)
	}
	return nil
}
