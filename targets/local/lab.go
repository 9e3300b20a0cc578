package local

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/engine"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/node"
	"github.com/cedana/cedana-e2e/targets/local/workload"
)

// StandIn is the stand-in's image: one static binary, the propagator's as well as the manager's and the helper's.
var StandIn = image.Static{
	Name:    "cedana",
	Program: image.Program{Name: "cedana", Package: "./targets/local/standin/cmd/cedana"},
	Path:    "/cedana",
}

// Lab makes what a machine lacks, under the directory Home.
type Lab struct {
	Home     string
	Progress *console.Console
	// EngineMode is which Docker engine is taken or made.
	EngineMode engine.Mode
	// Flavour is what the node image is made of; K3sImage is in place of the pinned official image.
	Flavour  node.Flavour
	K3sImage string
	// Programs are those of which images are wanted, of [workload.ProgramNames].
	Programs []string
}

// Made is what a cluster is made of.
type Made struct {
	Engine *engine.Engine
	Node   node.Image
	Pods   workload.Set
	// StandIn is empty where it was not asked for.
	StandIn image.Tarball
}

// Images are those that the nodes have to have.
func (m Made) Images() []image.Tarball {
	images := m.Pods.All()
	if m.StandIn.Ref != "" {
		images = append(images, m.StandIn)
	}
	return images
}

// Make makes the engine and the images ready, the stand-in's if it is wanted. From then on this process, and what it
// starts, uses that engine. linking may be nil; it is called when compiling the node leaves a processor idle.
func (l Lab) Make(ctx context.Context, standIn bool, linking func()) (Made, error) {
	var made Made
	var docker *client.Client
	engineThere := make(chan struct{})
	err := l.Progress.Run(ctx, "make the engine and the images ready", func(ctx context.Context, step *console.Step) error {
		work, ctx := errgroup.WithContext(ctx)
		// Beside the others: installing one takes the disk and the network, compiling the processors.
		work.Go(func() (err error) {
			if made.Engine, err = l.useEngine(ctx); err != nil {
				return err
			}
			if docker, err = made.Engine.Client(); err == nil {
				close(engineThere)
			}
			return err
		})
		work.Go(func() (err error) {
			made.Node, err = l.node(ctx, linking, func(ctx context.Context) (image.Engine, error) {
				select {
				case <-engineThere:
					return docker, nil
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			})
			return err
		})
		work.Go(func() (err error) {
			made.Pods, err = workload.Images(ctx, workload.Options{Home: l.Home, Progress: l.Progress, Programs: l.Programs})
			return err
		})
		if standIn {
			work.Go(func() (err error) {
				made.StandIn, err = image.NewStore(l.Home, l.Progress).Static(ctx, StandIn)
				return err
			})
		}
		err := work.Wait()
		if docker != nil {
			// Nothing is lost with an idle HTTP connection.
			_ = docker.Close()
		}
		step.Note("node from %s", made.Node.Flavour)
		return err
	})
	return made, err
}

// useEngine finds or makes the engine and takes it for this process and what it starts: k3d reads DOCKER_HOST.
func (l Lab) useEngine(ctx context.Context) (used *engine.Engine, err error) {
	err = l.Progress.Run(ctx, "find a Docker engine", func(ctx context.Context, step *console.Step) error {
		if used, err = engine.Ensure(ctx, l.engineOptions()); err != nil {
			return err
		}
		kind := "the system's"
		if used.Private {
			kind = "a private one"
		}
		step.Note("%s at %s, Docker %s", kind, used.Host, used.Version)
		return used.Use()
	})
	return used, err
}

func (l Lab) node(ctx context.Context, linking func(), e func(context.Context) (image.Engine, error)) (node.Image, error) {
	return node.Ensure(ctx, node.Options{
		Home: l.Home, Flavour: l.Flavour, K3sImage: l.K3sImage, Progress: l.Progress, Linking: linking, Engine: e,
	})
}

func (l Lab) engineOptions() engine.Options {
	return engine.Options{Mode: l.EngineMode, Home: l.Home, Progress: l.Progress}
}

// FindEngine finds the engine that an earlier run used, and changes nothing.
func (l Lab) FindEngine(ctx context.Context) (*engine.Engine, error) {
	return engine.Find(ctx, l.engineOptions())
}

// StopEngine stops the private engine, removes its data, and names what it removed. One that another owner has started
// is left unless allOwners is set.
func (l Lab) StopEngine(ctx context.Context, allOwners bool) ([]string, error) {
	o := l.engineOptions()
	o.AllOwners = allOwners
	return engine.Stop(ctx, o)
}

// PrivateEngine is the private engine's host, and the directory with its data.
func (l Lab) PrivateEngine() (host, data string) {
	return "unix://" + filepath.Join(engine.DefaultRunDir, "docker.sock"), filepath.Join(l.Home, "engine", "data")
}

// Load puts an image into an engine.
func Load(ctx context.Context, e *engine.Engine, tarball image.Tarball, progress console.Progress) error {
	docker, err := e.Client()
	if err != nil {
		return err
	}
	// Nothing is lost with an idle HTTP connection.
	defer func() { _ = docker.Close() }()
	return image.Load(ctx, docker, tarball, progress)
}

// Check says for each thing that the lab needs of this machine whether it is there, and changes nothing.
func (l Lab) Check(ctx context.Context) []engine.Finding {
	return append([]engine.Finding{l.checkNode()}, engine.Check(ctx, l.engineOptions())...)
}

func (l Lab) checkNode() engine.Finding {
	images := filepath.Join(l.Home, "images")
	f := engine.Finding{Name: "node image", OK: true, Remedy: "run on Debian or Ubuntu the first time, or copy the directory " + images + " from a machine where it was made"}
	if made, _ := filepath.Glob(filepath.Join(images, "*")); len(made) > 0 {
		f.Detail = "made before, in " + images
		return f
	}
	if apt, err := exec.LookPath("apt-get"); err == nil {
		f.Detail = fmt.Sprintf("will be made of Debian's packages, with %s", apt)
		return f
	}
	f.OK, f.Detail = false, "cannot be made here: that takes apt-get"
	return f
}
