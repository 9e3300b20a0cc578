// Package gobuild compiles the Go programs of this repository.
//
// A first run compiles Kubernetes, k3d and Helm: on two cores that is most of its time. So nothing is made that would
// be thrown away, and everything is compiled in one way: a package is compiled anew for each set of flags, and the
// targets, the suite and the programs on the nodes have many packages in common.
package gobuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
)

// Flags are those by which compiled packages are shared; a program may have linker flags and tags beside them.
//
// Debugging information is a quarter of the compiler's time, and the linker would drop it (-s -w). Inlining (-l turns it
// off) is another quarter: Kubernetes is mostly generated code that runs once, and what is run often is the standard
// library, which is left as it is everywhere else. Paths are not trimmed and version control is not stamped, so what
// ordinary builds have compiled of it is taken as it is.
func Flags() []string {
	return []string{"-buildvcs=false", "-gcflags=all=-dwarf=false -l", "-gcflags=std="}
}

// GoFlags is a value for $GOFLAGS: [Flags], beside those that were in it before. It is for tools that call `go` themselves.
func GoFlags(before string) string {
	all := []string{before}
	for _, flag := range Flags() {
		all = append(all, "'"+flag+"'") // one of them has a space in it
	}
	return strings.TrimSpace(strings.Join(all, " "))
}

// Env is `KEY=value` for a static program for this machine. The compiler collects no garbage before it has a gigabyte,
// which next to no package needs: that saves a tenth of its time.
func Env() []string {
	return []string{
		"CGO_ENABLED=0", "GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH, "GOWORK=off", "GO111MODULE=on",
		"GOGC=off", "GOMEMLIMIT=1GiB",
	}
}

// Command is a `go` command that may download modules and compile, which takes minutes the first time.
type Command struct {
	// What it does, for people: `compile k3s`.
	What string
	// Dir to run in; empty is the working directory.
	Dir string
	// Args of `go`. With -v, `go build` names each package that is compiled: the only measure of how far a build has come.
	Args []string
	// Env is `KEY=value` beside [Env].
	Env []string
	// Begins is called with the path of each package when its compilation begins, if it is not nil; with -v.
	Begins func(pkg string)
	// Packages is how many will be compiled; 0 where that is not known.
	Packages int
}

// packageTime is how long a package takes to compile where nothing is known of the machine: it was measured on two cores.
func packageTime() time.Duration { return 400 * time.Millisecond / time.Duration(runtime.NumCPU()) }

// Run runs the command, shows how far it has come, and returns its standard output. What the compiler
// complains about is in the error.
func Run(ctx context.Context, progress console.Progress, c Command) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append(append(os.Environ(), Env()...), c.Env...)
	// Compilers are children of go: the signal goes to all of them, then go has time to remove its work directory.
	terminateGroup(cmd)
	said := &output{begins: c.Begins}
	cmd.Stderr = said
	end := progress.Watch(c.What, func() console.State { return said.state(c.Packages) })
	stdout, err := cmd.Output()
	end(err)
	switch {
	case err == nil:
		return stdout, nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s: find the Go toolchain: %w; install Go from https://go.dev/dl and put it on PATH", c.What, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", c.What, ctx.Err())
	}
	return nil, fmt.Errorf("%s: go %s: %w\n%s", c.What, c.Args[0], err, said.problems())
}
