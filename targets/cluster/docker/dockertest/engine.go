// Package dockertest has a Docker engine in memory, for tests of what looks for, judges and removes things in one.
package dockertest

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Container is one in the engine; its network and volume cannot be removed while it is there.
type Container struct {
	Name, Image, State string
	Labels             map[string]string
	Network, Volume    string
}

// Engine behaves like Docker where the code under test can tell: filters by label and name, errors for what is not
// there or still in use. Set the fields before use.
type Engine struct {
	mu         sync.Mutex
	Containers []Container
	// Networks, Volumes and Images are labels by name.
	Networks map[string]map[string]string
	Volumes  map[string]map[string]string
	Images   map[string]map[string]string
	// Stuck are names whose removal fails.
	Stuck []string
	// Down makes every request fail.
	Down error
	// Log has each removal in order.
	Log []string
	// Host is where it listens, Kernel the release of its kernel.
	Host, Kernel string
	// Ran has the command of each container that was started, Exit is how all of them end.
	Ran  [][]string
	Exit int64
}

// DaemonHost is Host.
func (e *Engine) DaemonHost() string { return e.Host }

// Info has the kernel's release.
func (e *Engine) Info(context.Context) (system.Info, error) {
	return system.Info{KernelVersion: e.Kernel}, e.Down
}

// ContainerCreate makes a container and remembers its command.
func (e *Engine) ContainerCreate(_ context.Context, c *container.Config, _ *container.HostConfig, _ *network.NetworkingConfig, _ *ocispec.Platform, _ string) (container.CreateResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Ran = append(e.Ran, append(slices.Clone([]string(c.Entrypoint)), c.Cmd...))
	name := fmt.Sprintf("ran-%d", len(e.Ran))
	e.Containers = append(e.Containers, Container{Name: name, Image: c.Image, State: "created", Labels: c.Labels})
	return container.CreateResponse{ID: "id-" + name}, e.Down
}

// ContainerStart runs it to its end.
func (e *Engine) ContainerStart(context.Context, string, container.StartOptions) error { return e.Down }

// ContainerWait says at once how it has ended.
func (e *Engine) ContainerWait(context.Context, string, container.WaitCondition) (<-chan container.WaitResponse, <-chan error) {
	ended := make(chan container.WaitResponse, 1)
	ended <- container.WaitResponse{StatusCode: e.Exit}
	return ended, nil
}

// ContainerLogs are empty.
func (*Engine) ContainerLogs(context.Context, string, container.LogsOptions) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}

// Ping answers unless the engine is down.
func (e *Engine) Ping(context.Context) (types.Ping, error) { return types.Ping{}, e.Down }

// Close does nothing.
func (*Engine) Close() error { return nil }

func matches(f filters.Args, name string, labels map[string]string) bool {
	for _, pattern := range f.Get("name") {
		if !regexp.MustCompile(pattern).MatchString("/" + name) {
			return false
		}
	}
	return f.MatchKVList("label", labels)
}

// ContainerList filters by name and label.
func (e *Engine) ContainerList(_ context.Context, o container.ListOptions) ([]container.Summary, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []container.Summary
	for _, c := range e.Containers {
		if matches(o.Filters, c.Name, c.Labels) && (o.All || c.State == "running") {
			out = append(out, container.Summary{ID: "id-" + c.Name, Names: []string{"/" + c.Name}, Image: c.Image, State: c.State, Labels: c.Labels})
		}
	}
	return out, e.Down
}

// NetworkList filters by name and label.
func (e *Engine) NetworkList(_ context.Context, o network.ListOptions) ([]network.Summary, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []network.Summary
	for name, labels := range e.Networks {
		if matches(o.Filters, name, labels) {
			out = append(out, network.Summary{ID: "id-" + name, Name: name, Labels: labels})
		}
	}
	return out, e.Down
}

// VolumeList filters by name and label.
func (e *Engine) VolumeList(_ context.Context, o volume.ListOptions) (volume.ListResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out volume.ListResponse
	for name, labels := range e.Volumes {
		if matches(o.Filters, name, labels) {
			out.Volumes = append(out.Volumes, &volume.Volume{Name: name, Labels: labels})
		}
	}
	return out, e.Down
}

// ImageList filters by label, and by reference up to its last character.
func (e *Engine) ImageList(_ context.Context, o image.ListOptions) ([]image.Summary, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []image.Summary
	for name, labels := range e.Images {
		for _, reference := range o.Filters.Get("reference") {
			prefix := reference[:len(reference)-1]
			if len(name) < len(prefix) || name[:len(prefix)] != prefix {
				labels = nil
				name = ""
			}
		}
		if name != "" && o.Filters.MatchKVList("label", labels) {
			out = append(out, image.Summary{ID: "id-" + name, RepoTags: []string{name}, Size: 1_000_000})
		}
	}
	return out, e.Down
}

// ContainerRemove needs Force for a running container.
func (e *Engine) ContainerRemove(_ context.Context, id string, o container.RemoveOptions) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, c := range e.Containers {
		if id != "id-"+c.Name && id != c.Name {
			continue
		}
		if c.State == "running" && !o.Force {
			return fmt.Errorf("%s runs: %w", c.Name, errdefs.ErrConflict)
		}
		if err := e.stuck(c.Name); err != nil {
			return err
		}
		e.Containers = slices.Delete(e.Containers, i, i+1)
		return nil
	}
	return errdefs.ErrNotFound
}

// NetworkRemove fails as Docker does while a container is in the network.
func (e *Engine) NetworkRemove(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name := range e.Networks {
		if id != "id-"+name {
			continue
		}
		for _, c := range e.Containers {
			if c.Network == name {
				return fmt.Errorf("network %s has active endpoints: %w", name, errdefs.ErrPermissionDenied)
			}
		}
		if err := e.stuck(name); err != nil {
			return err
		}
		delete(e.Networks, name)
		return nil
	}
	return errdefs.ErrNotFound
}

// VolumeRemove fails while a container uses the volume.
func (e *Engine) VolumeRemove(_ context.Context, name string, _ bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.Volumes[name]; !ok {
		return errdefs.ErrNotFound
	}
	for _, c := range e.Containers {
		if c.Volume == name {
			return fmt.Errorf("volume %s is in use: %w", name, errdefs.ErrConflict)
		}
	}
	if err := e.stuck(name); err != nil {
		return err
	}
	delete(e.Volumes, name)
	return nil
}

// ImageRemove removes by name.
func (e *Engine) ImageRemove(_ context.Context, name string, _ image.RemoveOptions) ([]image.DeleteResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.Images[name]; !ok {
		return nil, errdefs.ErrNotFound
	}
	delete(e.Images, name)
	return nil, e.stuck(name)
}

func (e *Engine) stuck(name string) error {
	if slices.Contains(e.Stuck, name) {
		return fmt.Errorf("driver failed to remove %s", name)
	}
	e.Log = append(e.Log, name)
	return nil
}
