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
}

// modules are all. The node's program is a module of its own, because Kubernetes pins its dependencies with replace
// directives.
var modules = []module{
	{dir: ".", tags: []string{"", "e2e"}, packages: []string{"./..."}},
	{
		dir: "targets/local/node/kubernetes", tags: []string{""}, packages: []string{"./options", "./pki", "./supervisor"},
	},
}

// Test runs the unit and integration tests, compiled with the flags of the programs, so that Kubernetes, Helm and k3d are
// compiled once for both. It needs neither Docker nor root nor a network once the modules are there.
func Test(ctx context.Context, con *console.Console) error {
	artifacts, err := artifactsDirectory()
	if err != nil {
		return err
	}
	for _, m := range modules {
		name := strings.TrimSuffix("test "+m.dir, " .")
		if err := m.test(ctx, con, name, filepath.Join(artifacts, m.report()), gobuild.Flags(), gobuild.Env()); err != nil {
			return err
		}
	}
	return nil
}

// test runs a module's tests and writes them as JUnit to a file.
func (m module) test(ctx context.Context, con *console.Console, name, junit string, flags, env []string) error {
	args := []string{"go", "tool", "gotestsum", "--format", "pkgname-and-test-fails", "--junitfile", junit, "--raw-command", "--",
		"go", "test", "-C", m.dir, "-json", "-p", "2"}
	args = append(append(args, flags...), m.packages...)
	err := con.Run(ctx, name, func(ctx context.Context, _ *console.Step) error {
		return command{args: args, env: env}.run(ctx, con.Progress())
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func artifactsDirectory() (string, error) {
	s, err := settings.Load()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.Artifacts, 0o755); err != nil {
		return "", fmt.Errorf("create artifacts directory: %w", err)
	}
	return s.Artifacts, nil
}

// report is the name of the module's JUnit file.
func (m module) report() string {
	return strings.ReplaceAll(filepath.Join("unit", filepath.Clean(m.dir)), "/", "-") + ".xml"
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
