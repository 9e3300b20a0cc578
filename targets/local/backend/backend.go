// Package backend starts the local propagator: one container beside a cluster's nodes, with its data in a volume, so
// that checkpoints outlive both the node they were taken on and the propagator itself.
package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	// Port is the propagator's in its container, the one that Cedana's has too.
	Port = "1324"
	// dataDir is where the volume is mounted.
	dataDir = "/data"
	// tokenEnv gives the propagator its token. An argument would show in every process list.
	tokenEnv = "CEDANA_AUTH_TOKEN"
	// startTimeout is for a container that has only to open a database; on a loaded machine that took 2 s.
	startTimeout = 30 * time.Second
	pollInterval = 50 * time.Millisecond
	logTimeout   = 3 * time.Second
	tailLines    = 20
	loopback     = "127.0.0.1"
)

// Options are what Ensure needs beside the settings.
type Options struct {
	// Host is the Docker engine's; empty means the one at hand (DOCKER_HOST, else Docker's default).
	Host string
	// Network is the Docker network of the cluster's nodes.
	Network string
	// Image is the stand-in's, whose name holds the hash of its content.
	Image string
	// Fault is what it breaks on purpose; empty means nothing.
	Fault fault.Name
	// Load puts Image into the engine. It is called when the engine does not have it.
	Load func(ctx context.Context) error
}

// Propagator is the running local propagator.
type Propagator struct {
	// URL is for this machine, InClusterURL for pods.
	URL          string
	InClusterURL string
	Token        settings.Secret
	// Container is its name and Host the engine's that it runs in, for logs.
	Container string
	Host      string
}

// Name is the name of the propagator's container and of its volume.
func Name(cluster string) string { return "cedana-e2e-" + cluster + "-propagator" }

// Engine is what Ensure needs of a Docker client.
type Engine interface {
	ContainerInspect(context.Context, string) (container.InspectResponse, error)
	ContainerCreate(context.Context, *container.Config, *container.HostConfig, *network.NetworkingConfig, *ocispec.Platform, string) (container.CreateResponse, error)
	ContainerStart(context.Context, string, container.StartOptions) error
	ContainerRemove(context.Context, string, container.RemoveOptions) error
	ContainerLogs(context.Context, string, container.LogsOptions) (io.ReadCloser, error)
	ImageInspect(context.Context, string, ...client.ImageInspectOption) (dockerimage.InspectResponse, error)
	VolumeInspect(context.Context, string) (volume.Volume, error)
	VolumeCreate(context.Context, volume.CreateOptions) (volume.Volume, error)
}

// Ensure makes the cluster's propagator run and returns it once it answers. One that runs already with the same
// image, token and network is taken as it is; any other of this project is replaced, and its data kept. A container
// or volume of the name that this project did not make is an error. On failure the last lines of the propagator's
// log are in the error, and the container stays for a look; the next Ensure replaces it and `mage clean` removes it.
func Ensure(ctx context.Context, con *console.Console, s settings.Run, o Options) (*Propagator, error) {
	engine, err := docker.Connect(o.Host)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	if err := docker.Ping(ctx, engine); err != nil {
		return nil, err
	}
	token, err := ensureToken(s, engine.DaemonHost())
	if err != nil {
		return nil, err
	}
	p := &Propagator{Token: token, Container: Name(s.ClusterName), Host: engine.DaemonHost()}
	err = con.Run(ctx, "start the local propagator", func(ctx context.Context, step *console.Step) error {
		b := &backend{engine: engine, settings: s, options: o, token: token, step: step}
		if err := b.ensure(ctx, p); err != nil {
			return fmt.Errorf("start the local propagator: %w", err)
		}
		step.Note("%s", p.URL)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// What is registered there need not be deleted there when everything is cleaned.
	if err := state.Update(s.ClusterDir(), func(st *state.State) { st.UsedLocal(p.URL) }); err != nil {
		return nil, err
	}
	return p, nil
}

// ensureToken makes the token on first use and remembers it, with the engine, before anything is created.
func ensureToken(s settings.Run, host string) (settings.Secret, error) {
	var token settings.Secret
	err := state.Update(s.ClusterDir(), func(st *state.State) {
		st.Cluster, st.RunID = s.ClusterName, s.RunID
		st.UsedEngine(host)
		if !st.Token.Set() {
			st.Token.Secret = settings.Secret(rand.Text())
		}
		token = st.Token.Secret
	})
	return token, err
}

type backend struct {
	engine   Engine
	settings settings.Run
	options  Options
	token    settings.Secret
	step     *console.Step
}

func (b *backend) ensure(ctx context.Context, p *Propagator) error {
	why, err := b.unfit(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		if err := b.replace(ctx); err != nil {
			return err
		}
	}
	return b.wait(ctx, p)
}

// unfit says why the container there is cannot be taken, or nothing when it can.
func (b *backend) unfit(ctx context.Context) (string, error) {
	name := Name(b.settings.ClusterName)
	have, err := b.engine.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return "there is none", nil
	}
	if err != nil {
		return "", fmt.Errorf("inspect container %s: %w", name, err)
	}
	if err := b.foreign("container "+name, have.Config.Labels); err != nil {
		return "", err
	}
	switch {
	case have.Config.Image != b.options.Image:
		return "it runs another image", nil
	case have.State == nil || !have.State.Running:
		return "it does not run", nil
	case have.NetworkSettings == nil || have.NetworkSettings.Networks[b.options.Network] == nil:
		return "it is in another network", nil
	}
	for _, want := range b.environment() {
		if !slices.Contains(have.Config.Env, want) {
			return "it has another token or fault", nil
		}
	}
	return "", nil
}

// foreign is an error where something of the name that is needed is not ours to touch.
func (b *backend) foreign(what string, labels map[string]string) error {
	switch owner := b.settings.Owner(); {
	case labels[settings.DockerLabel] != "true":
		return fmt.Errorf("%s was not made by this project (it lacks the label %s): rename or remove it, or choose another CLUSTER_NAME", what, settings.DockerLabel)
	case !docker.Object{Labels: labels}.Ours(owner):
		return fmt.Errorf("%s is another owner's, %q, not %q of this E2E_HOME: choose another CLUSTER_NAME; if it is nobody's any more, "+
			"`ALL_OWNERS=1 CLUSTER_NAME=%s go tool mage clean` removes it", what, labels[settings.DockerLabelOwner], owner, b.settings.ClusterName)
	}
	return nil
}

// environment of the container. The fault is there when it is none, too, so that another one is seen.
func (b *backend) environment() []string {
	return []string{tokenEnv + "=" + b.token.Reveal(), fault.Variable + "=" + string(b.options.Fault), stretch.Environment()}
}

// replace puts a new container in the place of the one there may be.
func (b *backend) replace(ctx context.Context) error {
	name := Name(b.settings.ClusterName)
	if err := b.ensureImage(ctx); err != nil {
		return err
	}
	if err := b.ensureVolume(ctx, name); err != nil {
		return err
	}
	b.step.Set("making container %s", name)
	published, err := b.published(ctx, name)
	if err != nil {
		return err
	}
	if err := b.engine.ContainerRemove(ctx, name, container.RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", name, err)
	}
	port := nat.Port(Port + "/tcp")
	created, err := b.engine.ContainerCreate(ctx,
		&container.Config{
			Image:        b.options.Image,
			Cmd:          []string{"propagator"},
			Env:          b.environment(),
			ExposedPorts: nat.PortSet{port: {}},
			Labels:       b.settings.DockerLabels(),
		},
		&container.HostConfig{
			Binds: []string{name + ":" + dataDir},
			// Named, because Docker would pick another one at every start: killed and started again, it is where it was.
			PortBindings:  nat.PortMap{port: {{HostIP: loopback, HostPort: published}}},
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
		},
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{b.options.Network: {}}},
		nil, name)
	if err != nil {
		return fmt.Errorf("create container %s: %w", name, err)
	}
	if err := b.engine.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		return fmt.Errorf("start container %s: %w", name, err)
	}
	return nil
}

// published is the port of the container that is about to be replaced; where none runs, one that is free here.
func (b *backend) published(ctx context.Context, name string) (string, error) {
	have, err := b.engine.ContainerInspect(ctx, name)
	if err != nil && !errdefs.IsNotFound(err) {
		return "", fmt.Errorf("inspect container %s: %w", name, err)
	}
	if have.NetworkSettings != nil {
		for _, binding := range have.NetworkSettings.Ports[nat.Port(Port+"/tcp")] {
			return binding.HostPort, nil
		}
	}
	free, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", fmt.Errorf("find a free port for container %s: %w", name, err)
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	return port, errors.Join(err, free.Close())
}

func (b *backend) ensureImage(ctx context.Context) error {
	_, err := b.engine.ImageInspect(ctx, b.options.Image)
	if errdefs.IsNotFound(err) {
		b.step.Set("loading image %s", b.options.Image)
		if err := b.options.Load(ctx); err != nil {
			return err
		}
		_, err = b.engine.ImageInspect(ctx, b.options.Image)
	}
	if err != nil {
		return fmt.Errorf("inspect image %s: %w", b.options.Image, err)
	}
	return nil
}

func (b *backend) ensureVolume(ctx context.Context, name string) error {
	have, err := b.engine.VolumeInspect(ctx, name)
	if err == nil {
		return b.foreign("volume "+name, have.Labels)
	}
	if !errdefs.IsNotFound(err) {
		return fmt.Errorf("inspect volume %s: %w", name, err)
	}
	if _, err := b.engine.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: maps.Clone(b.settings.DockerLabels())}); err != nil {
		return fmt.Errorf("create volume %s: %w", name, err)
	}
	return nil
}

// wait fills in the addresses and waits until the propagator says that it is healthy.
func (b *backend) wait(ctx context.Context, p *Propagator) error {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(startTimeout))
	defer cancel()
	restarts := -1
	var last error
	for {
		now := b.healthy(ctx, p, &restarts)
		if now == nil {
			return nil
		}
		var gone *goneError
		if errors.As(now, &gone) {
			return b.withLog(ctx, now)
		}
		// A question that the end of the wait cut short knows less than the one before.
		if ctx.Err() == nil || last == nil {
			last = now
		}
		b.step.Set("waiting for it to answer: %v", last)
		select {
		case <-ctx.Done():
			return b.withLog(ctx, fmt.Errorf("wait for the propagator to answer: %w; last state: %w", context.Cause(ctx), last))
		case <-time.After(pollInterval):
		}
	}
}

// goneError is a propagator that has ended by itself.
type goneError struct{ state string }

func (e *goneError) Error() string { return "the propagator's container is " + e.state }

// withLog adds the last lines of the propagator's log to an error.
func (b *backend) withLog(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(logTimeout))
	defer cancel()
	name := Name(b.settings.ClusterName)
	lines, logErr := docker.Tail(ctx, b.engine, name, tailLines)
	if logErr != nil {
		lines = logErr.Error()
	}
	return fmt.Errorf("%w\nlast lines of %s:\n  %s", err, name, strings.ReplaceAll(lines, "\n", "\n  "))
}

// healthy asks once. restarts is how often the container had been restarted at the first time of asking.
func (b *backend) healthy(ctx context.Context, p *Propagator, restarts *int) error {
	have, err := b.engine.ContainerInspect(ctx, Name(b.settings.ClusterName))
	if err != nil {
		return err
	}
	if *restarts < 0 {
		*restarts = have.RestartCount
	}
	if have.RestartCount > *restarts || !have.State.Running || have.State.Status == container.StateRestarting {
		return &goneError{fmt.Sprintf("%s with exit status %d", have.State.Status, have.State.ExitCode)}
	}
	if p.URL, p.InClusterURL, err = addresses(have, b.options.Network); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := healthClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return errors.Join(fmt.Errorf("GET %s/healthz: %s: %s", p.URL, response.Status, strings.TrimSpace(string(body))), err)
	}
	return nil
}

// healthClient goes through no proxy: the propagator is on this machine. It has patience with a slow one.
var healthClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func addresses(have container.InspectResponse, networkName string) (url, inCluster string, err error) {
	endpoint := have.NetworkSettings.Networks[networkName]
	if endpoint == nil || endpoint.IPAddress == "" {
		return "", "", fmt.Errorf("container %s has no address in network %s yet", have.Name, networkName)
	}
	for _, binding := range have.NetworkSettings.Ports[nat.Port(Port+"/tcp")] {
		if binding.HostIP == loopback && binding.HostPort != "" {
			return "http://" + net.JoinHostPort(loopback, binding.HostPort), "http://" + net.JoinHostPort(endpoint.IPAddress, Port), nil
		}
	}
	return "", "", fmt.Errorf("container %s has no published port yet", have.Name)
}
