package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// connectSystem finds the system's engine by the rules of the docker command, which k3d follows too, and asks it who
// it is.
func connectSystem(ctx context.Context, o Options) (*Engine, error) {
	endpoint, options, err := systemEndpoint(o.DockerHost)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		Host:     endpoint.Host,
		explicit: o.DockerHost != "",
		Private:  endpoint.Host == o.privateHost(),
		options:  append([]client.Opt{client.WithUserAgent("cedana-e2e")}, options...),
	}
	info, err := e.identify(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask docker engine %s: %w", e.Host, err)
	}
	if err := e.unfit(ctx, info); err != nil {
		return nil, fmt.Errorf("use docker engine %s: %w", e.Host, err)
	}
	return e, nil
}

// unfit says why no node can run in an engine of this sort, whatever it lets a container do.
func (e *Engine) unfit(ctx context.Context, info system.Info) error {
	if slices.Contains(info.SecurityOptions, "name=rootless") {
		return errors.New("it is rootless: CRIU and the kubelet in a node need the machine's own root, which its containers do not have; " +
			"next: docker context use default, or DOCKER_HOST=unix:///var/run/docker.sock")
	}
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(answerTimeout))
	defer cancel()
	c, err := e.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	version, err := c.ServerVersion(ctx)
	if err != nil {
		return fmt.Errorf("ask what it is: %w", err)
	}
	for _, component := range version.Components {
		if strings.HasPrefix(component.Name, "Podman") {
			return errors.New("it is Podman, which k3d does not support as an engine for nodes that are privileged and share volumes; " +
				"next: install Docker, or point DOCKER_HOST at a Docker engine")
		}
	}
	return nil
}

// dockerCLI is held while docker's command library reads its configuration, which sets variables of its own.
var dockerCLI sync.Mutex

// systemEndpoint is the engine at host, or if that is empty the one that the docker command would use.
func systemEndpoint(host string) (endpoint docker.Endpoint, options []client.Opt, err error) {
	dockerCLI.Lock()
	defer dockerCLI.Unlock()
	cli, err := command.NewDockerCli(command.WithCombinedStreams(io.Discard))
	if err != nil {
		return endpoint, nil, fmt.Errorf("read docker's configuration: %w", err)
	}
	opts := flags.NewClientOptions()
	set := pflag.NewFlagSet("docker", pflag.ContinueOnError)
	opts.InstallFlags(set)
	opts.SetDefaultOptions(set)
	opts.LogLevel = logrus.GetLevel().String() // Initialize sets this globally
	if host != "" {
		opts.Hosts = []string{host}
	}
	if err := cli.Initialize(opts); err != nil {
		return endpoint, nil, fmt.Errorf("read docker's configuration: %w", err)
	}
	endpoint = cli.DockerEndpoint()
	if endpoint.Host == "" {
		return endpoint, nil, fmt.Errorf("find the engine of docker context %q: it has no address; see `docker context ls`", cli.CurrentContext())
	}
	options, err = endpoint.ClientOpts()
	if err != nil {
		return endpoint, nil, fmt.Errorf("read docker's configuration for %s: %w", endpoint.Host, err)
	}
	return endpoint, options, nil
}

func ensureSystem(ctx context.Context, o Options) (*Engine, error) {
	e, err := connectSystem(ctx, o)
	if err != nil {
		return nil, err
	}
	if e.Private {
		// The user points DOCKER_HOST at the private engine. It is looked after where it may be started again.
		if o.Mode == Auto {
			return nil, errors.New("the address is the private engine's")
		}
	}
	a, err := tryOnce(ctx, o, e)
	if err != nil {
		return nil, err
	}
	e.MissingCapabilities = a.MissingCapabilities
	return e, nil
}
