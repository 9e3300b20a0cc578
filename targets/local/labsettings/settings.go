// Package labsettings is what of the lab the environment decides.
package labsettings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/vm"
	"github.com/cedana/cedana-e2e/targets/local/workload"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Settings are the lab's own.
type Settings struct {
	// Engine is which Docker engine is used: auto, system or private.
	Engine string
	// Node is what the node image is made of: auto, k3s or source.
	Node string
	// K3sImage is in place of the pinned official image, for the k3s node. Empty means that one.
	K3sImage string
	// Fault is what the stand-in breaks on purpose; empty means nothing.
	Fault fault.Name
	// Programs are those of which images are wanted.
	Programs []string
	// Machine is what `mage vm` makes.
	Machine Machine
}

// Machine is a virtual machine, and what is run in it.
type Machine struct {
	// Release is the Debian in it; Memory is in GiB. Target is empty for every target but `mage vm`.
	Release string
	Memory  int
	Target  string
}

// Read is for [settings.Load].
func (l *Settings) Read(v *settings.Variables, s *settings.Settings) {
	v.Group("The lab: engine, node, stand-in")
	l.Engine = v.OneOf(settings.Variable{Name: "E2E_ENGINE", Default: "auto", Doc: "Docker engine: `auto`, `system`, `private`"}, "auto", "system", "private")
	l.Node = v.OneOf(settings.Variable{
		Name: "E2E_NODE", Default: "auto", Doc: "node image: `auto`, `k3s` (the official image's binaries), `source` (compiled here)",
	}, "auto", "k3s", "source")
	l.K3sImage = v.Text(settings.Variable{
		Name: "E2E_K3S_IMAGE", DefaultText: "pinned in the code", Example: "rancher/k3s:v1.37.1-k3s1", For: "`E2E_NODE=k3s`", Doc: "official k3s image",
	})
	broken := settings.Variable{
		Name: fault.Variable, Example: string(fault.ColdStart), For: "local",
		Doc: "breaks the stand-in in this one way, for a look by hand; unknown names and the live backend are refused",
	}
	v.Renamed("E2E_REGRESSION", broken.Name)
	name, err := fault.Parse(v.Text(broken))
	switch {
	case err != nil:
		v.Problem(broken.Name, err.Error(), broken.Example)
	case name != "" && s.Backend != settings.BackendLocal:
		v.Problem(broken.Name, "breaks the local stand-in on purpose, and the backend is "+string(s.Backend), "<nothing>")
	}
	l.Fault = name
	l.readPrograms(v, s)
	l.Machine = readMachine(v)
}

func readMachine(v *settings.Variables) Machine {
	const target = "`vm`"
	v.Group("Virtual machines")
	return Machine{
		Release: v.OneOf(settings.Variable{Name: "VM", Default: "debian-13", For: target, Doc: "what the machine is: `debian-12`, `debian-13`, `debian-testing`"}, vm.Releases()...),
		Memory:  v.Number(settings.Variable{Name: "E2E_VM_MEMORY", Default: "8", For: target, Doc: "the machine's memory in GiB"}, 4, 1024),
		Target:  v.Text(settings.Variable{Name: "E2E_VM_TARGET", For: target, Doc: "the target in the machine, which `mage vm TARGET` sets"}),
	}
}

// readPrograms takes the programs of the tests and those that E2E_IMAGES names. The lab makes no images for a cluster that exists.
func (l *Settings) readPrograms(v *settings.Variables, s *settings.Settings) {
	if s.Suite.Tests.Suite == settings.Workloads && s.Existing == nil {
		l.Programs = workload.TestedPrograms()
	}
	for _, image := range s.Suite.Tests.Images {
		program, ok := strings.CutPrefix(image, "@")
		switch {
		case !ok:
		case s.Existing != nil:
			v.Problem(settings.ImagesVariable, image+" is an image that is made for a k3d cluster, and this one exists", "nginx:1.14.2=registry.example/nginx:1")
		case program == "nginx" || program == "counter": // each cluster of ours has them
		case !slices.Contains(workload.ProgramNames(), program):
			v.Problem(settings.ImagesVariable, fmt.Sprintf("there is no image %s; there are @counter, @nginx, @%s", image, strings.Join(workload.ProgramNames(), ", @")), "redis:8=@redis")
		case !slices.Contains(l.Programs, program):
			l.Programs = append(l.Programs, program)
		}
	}
	slices.Sort(l.Programs)
}
