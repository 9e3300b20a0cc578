package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/cluster"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/local"
	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/local/chart"
	"github.com/cedana/cedana-e2e/targets/local/engine"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/labsettings"
	"github.com/cedana/cedana-e2e/targets/local/node"
	"github.com/cedana/cedana-e2e/targets/local/sensitivity"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/vm"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// This file is the core's only door to the lab; .golangci.yml keeps it so.

// made is what a cluster of ours was made of, and the Docker network of its nodes.
type made struct {
	local.Made
	network string
}

// Settings are the core's with the lab's.
type Settings struct {
	settings.Settings
	lab labsettings.Settings
}

// Load reads and checks the environment. The settings are of no use where the error is not nil: it is a
// [settings.Problems] that has all that is wrong.
func Load() (*Settings, error) {
	s := &Settings{}
	core, err := settings.Load(&s.lab)
	s.Settings = *core
	return s, err
}

func newLab(con *console.Console, s *Settings) local.Lab {
	return local.Lab{
		Home: s.Home, Progress: con, EngineMode: engine.Mode(s.lab.Engine), Flavour: node.Flavour(s.lab.Node), K3sImage: s.lab.K3sImage,
		Programs: s.lab.Programs,
	}
}

// removeMachines ends the virtual machine of that name, or all of them where it is empty.
func removeMachines(home, name string) ([]string, error) { return vm.Remove(home, name) }

// InMachine runs the target that the settings name in a virtual machine of the lab's.
func InMachine(ctx context.Context, con *console.Console, s *Settings, root string) error {
	machine := s.lab.Machine
	if machine.Target == "" {
		return errors.New("run in a virtual machine: no target is named: `go tool mage vm e2e`")
	}
	var scale float64
	if os.Getenv(stretch.Variable) != "" {
		scale = stretch.Factor()
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return vm.Run(ctx, vm.Options{
		Home: s.Home, Program: program, Name: s.ClusterName, Release: machine.Release, Memory: machine.Memory, Root: root, Env: forMachine(os.Getenv),
		Artifacts: filepath.Join(s.Artifacts, "vm", machine.Release), Scale: scale, Progress: con,
	}, machine.Target)
}

// forMachine are the variables that a target in a machine is given: all that are set here, but those that name this
// machine's files and addresses.
func forMachine(getenv func(string) string) []string {
	v := settings.NewVariables(envconfig.MapLookuper(nil))
	settings.Read(v, &labsettings.Settings{})
	here := []string{"E2E_ARTIFACTS", "E2E_HISTORY", "DOCKER_HOST", "KUBECONFIG", "KUBECONTEXT", "VM", "E2E_VM_TARGET", "E2E_VM_MEMORY", stretch.Variable}
	var env []string
	for _, d := range v.Declared() {
		if value := getenv(d.Name); value != "" && !slices.Contains(here, d.Name) {
			env = append(env, d.Name+"="+value)
		}
	}
	return env
}

// k3d makes clusters: with the lab's engine where there is none, of the lab's node image, with the lab's pods on it.
type k3d struct {
	con      *console.Console
	settings *settings.Cluster
	lab      local.Lab
	// standIn says that the nodes have to have the stand-in's image.
	standIn bool
}

func (k *k3d) Make(ctx context.Context, linking func()) (*Cluster, error) {
	parts, err := k.lab.Make(ctx, k.standIn, linking)
	if err != nil {
		return nil, err
	}
	var images []cluster.Image
	for _, tarball := range parts.Images() {
		images = append(images, cluster.Image(tarball))
	}
	c, err := cluster.Ensure(ctx, k.con, k.settings, cluster.Options{
		Host: parts.Engine.Host, Image: parts.Node.Ref, Tools: parts.Node.Tools, Images: images,
	})
	if err != nil {
		return nil, err
	}
	usable := ofK3d(c)
	usable.Nginx, usable.Counter = parts.Pods.Nginx.Ref, parts.Pods.Counter.Ref
	usable.Programs = map[string]string{"nginx": usable.Nginx, "counter": usable.Counter}
	for name, program := range parts.Pods.Programs {
		usable.Programs[name] = program.Ref
	}
	usable.made = &made{parts, c.Network}
	return usable, nil
}

func (k *k3d) Find(ctx context.Context) (*Cluster, error) {
	e, err := k.lab.FindEngine(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the engine of cluster %s: %w", k.settings.ClusterName, err)
	}
	c, err := cluster.Find(ctx, k.settings, e.Host)
	if err != nil {
		return nil, err
	}
	return ofK3d(c), nil
}

func ofK3d(c *cluster.Cluster) *Cluster {
	return &Cluster{Name: c.Name, Kubeconfig: c.Kubeconfig, Context: c.Context, Versions: c.Versions, Logs: []suite.Source{{
		Name: "the nodes' logs", Collect: func(ctx context.Context, dir string) error { return c.Logs(ctx, filepath.Join(dir, "nodes")) },
	}}}
}

func (k *k3d) Check(ctx context.Context) []Finding {
	var findings []Finding
	for _, f := range k.lab.Check(ctx) {
		findings = append(findings, Finding(f))
	}
	return findings
}

// standIn is the local propagator, in a container beside the nodes.
type standIn struct {
	con         *console.Console
	settings    settings.Run
	sensitivity *settings.Sensitivity
	client      []propagator.Option
	// fault is what it breaks on purpose; empty means nothing.
	fault fault.Name
}

func newStandIn(con *console.Console, s *Settings, client []propagator.Option) *standIn {
	return &standIn{con: con, settings: s.Run, sensitivity: &s.Sensitivity, client: client, fault: s.lab.Fault}
}

// Preflight returns nil: the local propagator is in the cluster's network and comes after it.
func (p *standIn) Preflight(context.Context) (*Connection, error) { return nil, nil }

// Connect starts the propagator.
func (p *standIn) Connect(ctx context.Context, c *Cluster, _ *Connection) (*Connection, error) {
	if c.made == nil {
		return nil, errors.New("start the local propagator: this cluster is not one of ours, and there is no network of its nodes to start it in")
	}
	if p.fault != "" {
		p.con.Warn("the propagator is BROKEN ON PURPOSE: %s", p.fault.Describe())
	}
	running, err := backend.Ensure(ctx, p.con, p.settings, backend.Options{
		Host: c.made.Engine.Host, Network: c.made.network, Image: c.made.StandIn.Ref, Fault: p.fault,
		Load: func(ctx context.Context) error { return local.Load(ctx, c.made.Engine, c.made.StandIn, p.con) },
	})
	if err != nil {
		return nil, err
	}
	to, err := p.connection(running)
	if err != nil {
		return nil, err
	}
	repository, tag, _ := strings.Cut(c.made.StandIn.Ref, ":")
	to.chart = chartOptions(running.InClusterURL, running.Token, deploy.Image{Repository: repository, Tag: tag})
	to.Logs = []suite.Source{propagatorLog(c.made.Engine.Host, running.Container)}
	return to, nil
}

func (p *standIn) connection(running *backend.Propagator) (*Connection, error) {
	api, err := propagator.New(running.URL, running.Token, p.client...)
	if err != nil {
		return nil, err
	}
	return &Connection{API: api, URL: running.URL, Token: running.Token, Subject: suite.Subject{
		Ours: true,
		Meaning: "Local backend: the propagator, manager and helper were this project's stand-in. Green means that the tests, the " +
			"targets and this machine work; it says nothing about Cedana itself. For that set CEDANA_AUTH_TOKEN.",
	}}, nil
}

// chartOptions are for the stand-in's chart, whose manager and helper are one image.
func chartOptions(urlInCluster string, token settings.Secret, standIn deploy.Image) deploy.Options {
	return deploy.Options{
		Chart: chart.Files, Layers: []string{"local.yaml"}, URLInCluster: urlInCluster + "/v1", Token: token, Helper: standIn, Manager: standIn,
	}
}

func (p *standIn) Find(ctx context.Context) (*Connection, error) {
	running, err := backend.Find(ctx, p.settings)
	if errors.Is(err, backend.ErrNotFound) {
		return nil, fmt.Errorf("find the local propagator of cluster %s: none runs (%w): run `go tool mage deploy` first, or set CEDANA_AUTH_TOKEN to list those of %s",
			p.settings.ClusterName, ErrNoPropagator, settings.DefaultURL)
	}
	if err != nil {
		return nil, err
	}
	to, err := p.connection(running)
	if err != nil {
		return nil, err
	}
	to.Logs = []suite.Source{propagatorLog(running.Host, running.Container)}
	return to, nil
}

func (p *standIn) Planned() (deploy.Options, error) {
	o := chartOptions("http://"+inTheRun, "made-in-the-run", deploy.Image{Repository: image.Registry + "/" + local.StandIn.Name, Tag: inTheRun})
	o.ClusterID = inTheRun
	return o, nil
}

func (p *standIn) Check(context.Context) []Finding { return nil }

// propagatorLines is how much of the local propagator's log is kept.
const propagatorLines = 20000

func propagatorLog(host, container string) suite.Source {
	return suite.Source{Name: "the propagator's log", Collect: func(ctx context.Context, dir string) error {
		engine, err := docker.Connect(host)
		if err != nil {
			return err
		}
		// Nothing is lost with an idle HTTP connection.
		defer func() { _ = engine.Close() }()
		text, err := docker.Tail(ctx, engine, container, propagatorLines)
		if writeErr := os.WriteFile(filepath.Join(dir, "propagator.log"), []byte(text), 0o644); writeErr != nil {
			err = errors.Join(err, fmt.Errorf("write the propagator's log: %w", writeErr))
		}
		return err
	}}
}

// Breakable is a propagator that can be broken on purpose.
type Breakable interface {
	// Mend puts aside the fault that the settings ask for.
	Mend()
	// TryFaults puts in one fault after the other and sees whether the tests notice. moved is called where the propagator
	// has another address after its new start: then Cedana has to be deployed again.
	TryFaults(ctx context.Context, c *Cluster, at *Connection, tests *suite.Program, moved func(context.Context, *Connection) error) error
}

// Mend is part of [Breakable].
func (p *standIn) Mend() { p.fault = "" }

// TryFaults is part of [Breakable]. The propagator keeps its port and its address over a new start where it can.
func (p *standIn) TryFaults(ctx context.Context, c *Cluster, at *Connection, tests *suite.Program, moved func(context.Context, *Connection) error) error {
	return sensitivity.Run(ctx, p.con, p.sensitivity, sensitivity.Options{Program: tests, Switch: func(ctx context.Context, name fault.Name) error {
		if p.fault == name {
			return nil
		}
		p.fault = name
		now, err := p.Connect(ctx, c, nil)
		if err != nil {
			return err
		}
		before := at
		at = now
		if now.URL == before.URL && now.chart.URLInCluster == before.chart.URLInCluster {
			return nil
		}
		return moved(ctx, now)
	}})
}
