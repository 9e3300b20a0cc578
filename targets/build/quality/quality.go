// Package quality runs the project's own tests and linters with the tools pinned in go.mod.
package quality

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// module is one of the project's Go modules and how it is checked.
type module struct {
	dir string
	// tags are the sets of build tags to vet with; tests run with none.
	tags []string
	// packages are patterns relative to dir.
	packages []string
	// race says whether tests run with the race detector.
	race bool
}

// modules are all. The node's program is a module of its own, because Kubernetes pins its dependencies with replace
// directives. Its tests are built as the program is, so that Kubernetes is compiled once for both; with the race
// detector it would be compiled a second time, for minutes.
var modules = []module{
	{dir: ".", tags: []string{"", "e2e"}, packages: []string{"./..."}, race: true},
	{
		dir: "targets/local/node/kubernetes", tags: []string{""}, packages: []string{"./options", "./pki", "./supervisor"},
	},
}

// Test runs the unit and integration tests with the race detector. It needs neither Docker nor root nor a network
// once the modules are there. Where no C compiler is to be had (the race detector links with one), the tests run
// without it and it says so.
func Test(ctx context.Context, con *console.Console) error {
	s, err := settings.Load()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Artifacts, 0o755); err != nil {
		return fmt.Errorf("create artifacts directory: %w", err)
	}
	race := true
	if err := ensureCompiler(ctx, con); err != nil {
		con.Warn("tests run without the race detector: %v", err)
		race = false
	}
	for _, m := range modules {
		name := strings.TrimSuffix("test "+m.dir, " .")
		args := []string{"tool", "gotestsum", "--format", "pkgname-and-test-fails", "--junitfile", filepath.Join(s.Artifacts, m.report()), "--raw-command", "--"}
		args = append(args, "go", "test", "-C", m.dir, "-json", "-p", "2")
		var env []string
		if race && m.race {
			args = append(args, "-race")
		} else {
			args, env = append(args, gobuild.Flags()...), gobuild.Env()
		}
		args = append(args, m.packages...)
		err := con.Run(ctx, name, func(ctx context.Context, _ *console.Step) error {
			return command{args: append([]string{"go"}, args...), env: env}.run(ctx, con.Progress())
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// report is the name of the module's JUnit file.
func (m module) report() string {
	return strings.ReplaceAll(filepath.Join("unit", filepath.Clean(m.dir)), "/", "-") + ".xml"
}

// ensureCompiler makes sure that there is a C compiler, installing Debian's when root.
func ensureCompiler(ctx context.Context, con *console.Console) error {
	for _, name := range []string{"gcc", "clang"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("no C compiler: install gcc")
	}
	return con.Run(ctx, "install gcc for the race detector", func(ctx context.Context, _ *console.Step) error {
		if err := run(ctx, io.Discard, apt, "update", "-qq"); err != nil {
			return err
		}
		return run(ctx, io.Discard, apt, "install", "-y", "-qq", "--no-install-recommends", "gcc", "libc6-dev")
	})
}

// command is a program to run, with what is added to this process's environment.
type command struct {
	args []string
	env  []string
	dir  string
}

// run ends the command, with an interrupt first, when ctx ends.
func (c command) run(ctx context.Context, out io.Writer) error {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 3 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", strings.Join(c.args, " "), err)
	}
	return nil
}

// run runs a program in the working directory.
func run(ctx context.Context, out io.Writer, args ...string) error {
	return command{args: args}.run(ctx, out)
}
