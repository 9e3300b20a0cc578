package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/console"
)

// first are packages that the targets need and that need few modules, in this order.
var first = []string{"net/http", "k8s.io/client-go/kubernetes"}

// compileFirst compiles the targets where nothing is compiled yet. It gets their modules, those of the first packages
// before the others, and compiles meanwhile what can be: `go build` alone compiles nothing before it has all of them, and
// for half a minute the processors have nothing to do. The modules that are needed next come after them, while the targets
// are compiled and the network has nothing to do.
func compileFirst(ctx context.Context, con *console.Console, root, target, path string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var notGot error
	ours, all := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(all)
		for _, packages := range [][]string{first, {program}} {
			if notGot == nil {
				notGot = get(ctx, con, gobuild.Command{What: "get the modules of the targets", Dir: root, Args: list(packages...)})
			}
		}
		if notGot != nil {
			cancel()
		}
		close(ours)
		for _, c := range later(root, target, os.Getenv("E2E_NODE")) {
			if err := get(ctx, con, c); err != nil && ctx.Err() == nil {
				con.Warn("%v; this is tried again when they are needed", err)
			}
		}
	}()
	var err error
	for _, pkg := range first {
		if err == nil {
			err = build(ctx, con, root, "compile "+pkg, 0, pkg)
		}
	}
	if err == nil {
		<-ours
		var left int
		if left, err = toCompile(ctx, con, root); err == nil {
			err = compileTargets(ctx, con, root, path, left)
		}
	}
	if err != nil {
		cancel()
	}
	<-all
	if notGot != nil && !errors.Is(notGot, context.Canceled) {
		return notGot
	}
	return err
}

// toCompile is how many packages of the program are not compiled yet.
func toCompile(ctx context.Context, con *console.Console, root string) (int, error) {
	args := append([]string{"list", "-deps", "-f", "{{if .Stale}}+{{end}}"}, gobuild.Flags()...)
	out, err := gobuild.Run(ctx, con, gobuild.Command{What: "count the packages of the targets", Dir: root, Args: append(args, program)})
	return strings.Count(string(out), "+"), err
}

// later says how to get the modules that the target needs once it runs: the tests', and Kubernetes' where it is certain
// that it will be compiled.
func later(root, target, node string) []gobuild.Command {
	var commands []gobuild.Command
	if slices.Contains([]string{"e2e", "sensitivity"}, target) {
		commands = append(commands, gobuild.Command{
			What: "get the modules of the tests", Dir: root, Args: list("-test", "-tags=e2e", "./tests/e2e", "gotest.tools/gotestsum"),
		})
	}
	makesNodes := slices.Contains([]string{"e2e", "sensitivity", "cluster", "deploy"}, target)
	lacks, err := capabilities.HostLacksSysResource() // then k3s cannot run
	if makesNodes && (node == "source" || (node == "" || node == "auto") && err == nil && lacks) {
		commands = append(commands, gobuild.Command{
			What: "get the modules of Kubernetes", Dir: filepath.Join(root, "targets/local/node/kubernetes"), Args: list("."),
		})
	}
	return commands
}

// list is the least that gets all modules that packages need and no others.
func list(args ...string) []string {
	return append([]string{"list", "-deps", "-f", "{{/* nothing */}}"}, args...)
}

func get(ctx context.Context, con *console.Console, c gobuild.Command) error {
	_, err := gobuild.Run(ctx, con, c)
	return err
}
