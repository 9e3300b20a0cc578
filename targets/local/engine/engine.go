// Package engine finds or makes a Docker engine that can run the nodes of a k3d cluster: privileged containers that
// mount, make cgroups and are entered by exec.
//
// The engine at hand is used when it really can do that (a container is run to see, once, and the answer is kept).
// Otherwise, as root on Debian or Ubuntu, a private engine is started beside whatever else runs on the machine. It
// shares nothing with another engine but the kernel: sockets, data, containerd, bridge, address pool, cgroup parent
// and firewall chains are its own.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Mode says which engine may be used.
type Mode string

const (
	// Auto is the system's engine if it can run nodes, else a private one.
	Auto Mode = "auto"
	// System is the engine at hand or none.
	System Mode = "system"
	// Private is the private engine, whatever else runs.
	Private Mode = "private"
)

// DefaultRunDir is where the private engine's sockets and pid files are.
const DefaultRunDir = "/run/cedana-e2e"

// ErrNone is returned by Find when the engine that Ensure would use does not run.
var ErrNone = errors.New("no docker engine runs")

// Options say which engine is wanted and where the private one lives.
type Options struct {
	// Mode is Auto when empty.
	Mode Mode
	// Home is the project's directory; everything of this package is in its subdirectory "engine".
	Home string
	// RunDir is DefaultRunDir when empty. Two private engines with different RunDirs do not meet.
	RunDir string
	// DockerHost is the address of the system's engine, as in DOCKER_HOST. When empty, the environment, the current
	// docker context and the default socket are asked, in the order that the docker command does.
	DockerHost string
	// AllOwners lets Stop take a private engine that was started from another Home.
	AllOwners bool
	// Progress may be nil.
	Progress console.Progress
}

// Engine is a running Docker engine.
type Engine struct {
	// Host is its address, as in DOCKER_HOST.
	Host string
	// Private is true for the engine that this package started.
	Private bool
	// ID is the engine's own name for itself, Version its version, Kernel that of the machine it runs on.
	ID, Version, Kernel string
	// Arch is the machine's architecture in Go's spelling.
	Arch string
	// CgroupVersion is "1" or "2".
	CgroupVersion string
	// MissingCapabilities are those that the kernel knows and even a privileged container lacks: the host's bounding
	// set may not have them (CAP_SYS_RESOURCE on some sandboxes), or the engine may be too old to know them
	// (CAP_CHECKPOINT_RESTORE with Docker 20.10). Empty from Find if the engine was never tried.
	MissingCapabilities []string

	options  []client.Opt
	explicit bool
}

// Client returns a client of the engine that speaks the engine's API version. The caller closes it.
func (e *Engine) Client() (*client.Client, error) {
	c, err := client.NewClientWithOpts(append(append([]client.Opt{}, e.options...), client.WithAPIVersionNegotiation())...)
	if err != nil {
		return nil, fmt.Errorf("make client of docker engine %s: %w", e.Host, err)
	}
	return c, nil
}

// Use makes this engine the one that every Docker client of this process and of its children finds, k3d's among
// them, by setting DOCKER_HOST. An engine that was found by docker's own rules is left to them, since a context can
// carry more than an address.
func (e *Engine) Use() error {
	if !e.explicit {
		return nil
	}
	if e.Private {
		// Certificates and names meant for another engine would be used for this one.
		for _, name := range []string{"DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"} {
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("unset %s: %w", name, err)
			}
		}
	}
	if err := os.Setenv("DOCKER_HOST", e.Host); err != nil {
		return fmt.Errorf("set DOCKER_HOST: %w", err)
	}
	return nil
}

// Ensure returns an engine that can run cluster nodes. If the mode allows it and the one at hand cannot, it installs
// Docker from the distribution where it is missing, and starts or reuses the private engine, which outlives this
// process. It may be called again and by several processes at once: all get the same engine.
func Ensure(ctx context.Context, o Options) (*Engine, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	var systemErr error
	if o.Mode != Private {
		e, err := ensureSystem(ctx, o)
		if err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		systemErr = err
		if o.Mode == System {
			return nil, fmt.Errorf("use the system's docker engine: %w\n"+
				"  what to do: start or repair it, point DOCKER_HOST at another one, or set E2E_ENGINE=auto to let a private one be started", err)
		}
	}
	e, err := ensurePrivate(ctx, o)
	if err == nil {
		return e, nil
	}
	if ctx.Err() != nil || systemErr == nil {
		return nil, fmt.Errorf("use a private docker engine: %w", err)
	}
	return nil, fmt.Errorf("no docker engine can run cluster nodes:\n  the system's: %w\n  a private one: %w\n"+
		"  what to do: start or repair the system's engine (it must run privileged containers), point DOCKER_HOST at another one, or run as root on Debian or Ubuntu",
		systemErr, err)
}

// Find returns the engine that Ensure would use if that one runs; it starts and tries nothing. Where the system's
// engine was never tried, a running private engine comes first: it would not run if the other could do. ErrNone if
// none runs.
func Find(ctx context.Context, o Options) (*Engine, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	var candidates []*Engine
	var reasons []error
	var tried, able bool
	if o.Mode != Private {
		e, err := connectSystem(ctx, o)
		if err != nil {
			reasons = append(reasons, err)
		} else {
			var a answer
			if a, tried = readAnswer(o, e); tried {
				able = a.OK
				e.MissingCapabilities = a.MissingCapabilities
			}
			candidates = append(candidates, e)
		}
	}
	if o.Mode != System {
		e, err := findPrivate(ctx, o)
		if err != nil {
			reasons = append(reasons, err)
		} else {
			if a, ok := readAnswer(o, e); ok {
				e.MissingCapabilities = a.MissingCapabilities
			}
			if !able {
				return e, nil
			}
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 || (o.Mode == Auto && tried && !able) {
		return nil, fmt.Errorf("find docker engine: %w: %w", ErrNone, errors.Join(reasons...))
	}
	return candidates[0], nil
}

// Stop stops the private engine, never another, and removes all of it: containers, processes, mounts, interfaces,
// firewall chains, sockets, cgroups, data and remembered answers. It names what it removed; nothing there is no
// error. A living one that was started from another Home is said to be left, unless AllOwners is set. Packages that Ensure installed stay, and so does net.ipv4.ip_forward=1, since others may rely on it by now.
func Stop(ctx context.Context, o Options) (stopped []string, err error) {
	o, err = o.complete()
	if err != nil {
		return nil, err
	}
	return stopPrivate(ctx, o)
}

func (o Options) complete() (Options, error) {
	switch o.Mode {
	case "":
		o.Mode = Auto
	case Auto, System, Private:
	default:
		return o, fmt.Errorf("choose docker engine: mode %q is none of auto, system, private", o.Mode)
	}
	if o.RunDir == "" {
		o.RunDir = DefaultRunDir
	}
	for _, dir := range []*string{&o.Home, &o.RunDir} {
		if !filepath.IsAbs(*dir) {
			return o, fmt.Errorf("choose docker engine: directory %q is not absolute", *dir)
		}
		// Mount tables and process tables know directories by their real names.
		resolved, err := realPath(*dir)
		if err != nil {
			return o, fmt.Errorf("choose docker engine: %w", err)
		}
		*dir = resolved
	}
	if o.Progress == nil {
		o.Progress = console.Quiet{}
	}
	return o, nil
}

func (o Options) dir(elem ...string) string {
	return filepath.Join(append([]string{o.Home, "engine"}, elem...)...)
}

func (o Options) privateHost() string { return "unix://" + filepath.Join(o.RunDir, "docker.sock") }

// realPath resolves symbolic links in the part of the path that exists.
func realPath(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		return resolved, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("resolve %s: %w", path, err)
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	resolved, err = realPath(parent)
	return filepath.Join(resolved, filepath.Base(path)), err
}

// answerTimeout is how long an engine may take to say who it is.
const answerTimeout = 10 * time.Second

// identify asks the engine who it is and fills that in.
func (e *Engine) identify(ctx context.Context) (system.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(answerTimeout))
	defer cancel()
	c, err := e.Client()
	if err != nil {
		return system.Info{}, err
	}
	defer c.Close()
	info, err := c.Info(ctx)
	if err != nil {
		return info, err
	}
	e.ID, e.Version, e.Kernel, e.CgroupVersion = info.ID, info.ServerVersion, info.KernelVersion, info.CgroupVersion
	if e.CgroupVersion == "" {
		e.CgroupVersion = "1" // engines before 20.10 knew only that one
	}
	e.Arch = goArch(info.Architecture)
	return info, nil
}

// goArch translates `uname -m`, which is what an engine reports, into Go's spelling.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	if strings.HasPrefix(machine, "arm") {
		return "arm"
	}
	return machine
}
