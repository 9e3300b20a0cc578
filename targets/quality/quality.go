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

	"github.com/cedana/cedana-e2e/targets/console"
)

// Modules are the project's Go modules with the build tags each is checked with. The node's programs are modules of
// their own because Kubernetes pins its dependencies with replace directives.
var modules = []struct {
	dir string
	// tags are the sets to vet with; tests run with none.
	tags []string
	// packages to test: all the module's own.
	packages string
}{
	{dir: ".", tags: []string{"", "e2e"}, packages: "./..."},
	{dir: "targets/local/node/kubernetes", tags: []string{""}, packages: "./supervisor/..."},
}

// Test runs the unit and integration tests with the race detector. It needs neither Docker nor root nor a network
// once the modules are there. Where no C compiler is to be had (the race detector links with one), the tests run
// without it and it says so.
func Test(ctx context.Context, con *console.Console, artifacts string) error {
	if err := os.MkdirAll(artifacts, 0o755); err != nil {
		return fmt.Errorf("create artifacts directory: %w", err)
	}
	race := []string{"-race"}
	if err := ensureCompiler(ctx, con); err != nil {
		con.Warn("tests run without the race detector: %v", err)
		race = nil
	}
	for _, m := range modules {
		name := "test " + m.dir
		junit := filepath.Join(artifacts, "unit-"+strings.ReplaceAll(strings.Trim(m.dir, "."), "/", "-")+".xml")
		args := append([]string{"tool", "gotestsum", "--format", "pkgname-and-test-fails", "--junitfile", junit, "--"}, race...)
		args = append(args, "-p", "2", m.packages)
		if m.dir != "." {
			// gotestsum is a tool of the root module; -C moves go test, not gotestsum's own look-up.
			args = append([]string{"tool", "gotestsum", "--format", "pkgname-and-test-fails", "--junitfile", junit, "--raw-command", "--", "go", "test", "-C", m.dir, "-json"}, append(race, m.packages)...)
		}
		err := con.Run(ctx, name, func(ctx context.Context, _ *console.Step) error {
			return run(ctx, con.Progress(), "go", args...)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
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

// run starts a command with this process's environment and ends it, with all it started, when ctx ends.
func run(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 3 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}
