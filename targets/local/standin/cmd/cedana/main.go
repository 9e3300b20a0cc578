// Command cedana is every part of the local stand-in for Cedana in one static binary: `cedana propagator` is the API
// server; by the name it is called under, or by the first argument, it becomes one of the others.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/helperfault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/managerfault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/propagatorfault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/runtimefault"
	"github.com/cedana/cedana-e2e/targets/local/standin/helper"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
	"github.com/cedana/cedana-e2e/targets/local/standin/manager"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
	"github.com/cedana/cedana-e2e/targets/local/standin/server"
	"github.com/cedana/cedana-e2e/targets/local/standin/shim"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// part runs one of the binary's parts with the arguments after its name, until it is done or ctx ends. An error with
// an ExitCode method (an *exec.ExitError, say) sets the process's exit status; any other error makes it 1.
type part func(ctx context.Context, args []string) error

// byName are the parts chosen by argv[0]: their arguments are somebody else's command line and are passed untouched.
var byName = map[string]part{
	filepath.Base(layout.Shim):    shim.Main,
	filepath.Base(layout.Runtime): func(ctx context.Context, args []string) error { return runtime.Main(ctx, args, runtimefault.Seams()) },
	runtime.CRIUName:              func(_ context.Context, args []string) error { return runtime.CRIU(args) },
}

// byArgument are the sub-commands.
var byArgument = map[string]part{
	"propagator":                    propagator,
	"manager":                       func(ctx context.Context, args []string) error { return manager.Main(ctx, args, managerfault.Seams()) },
	"helper":                        func(ctx context.Context, args []string) error { return helper.Main(ctx, args, helperfault.Seams()) },
	helper.WatcherCommand:           helper.Watcher,
	runtimefault.SignalLaterCommand: runtimefault.SignalLater,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	os.Exit(exitCode(err))
}

func run(ctx context.Context, argv []string) error {
	if err := stretch.SetFrom(os.Getenv); err != nil {
		return usage(err.Error())
	}
	if p, ok := byName[filepath.Base(argv[0])]; ok {
		return p(ctx, argv[1:])
	}
	if len(argv) > 1 {
		if p, ok := byArgument[argv[1]]; ok {
			return p(ctx, argv[2:])
		}
	}
	return usageError(argv[1:])
}

// propagator is the API server, with the fault that its environment asks for.
func propagator(ctx context.Context, args []string) error {
	name, err := fault.Parse(os.Getenv(fault.Variable))
	switch {
	case err != nil:
		return usage(fmt.Sprintf("%s: %v", fault.Variable, err))
	case name == "":
		return server.Main(ctx, args)
	default:
		return server.Main(ctx, args, propagatorfault.Inject(name))
	}
}

type usage string

func (u usage) Error() string { return string(u) }

// ExitCode is the conventional one for a wrong command line.
func (usage) ExitCode() int { return 2 }

func usageError(args []string) error {
	names := make([]string, 0, len(byArgument))
	for name := range byArgument {
		names = append(names, name)
	}
	sort.Strings(names)
	if len(args) == 0 {
		return usage("no command: want one of " + strings.Join(names, ", "))
	}
	return usage(fmt.Sprintf("unknown command %q: want one of %s", args[0], strings.Join(names, ", ")))
}

func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}
