// Package launch compiles the program that does the targets' work and runs one target of it.
//
// Mage compiles the magefile in silence, and what the targets need (k3d, Helm, Kubernetes' client) takes minutes the
// first time. So the magefile imports none of it: it is listed at once, says what is being compiled and how far that has
// come, and the flags are those by which the packages are shared with the node's programs and the suite.
package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/build/parent"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// program is the package with the targets.
const program = "./targets/cmd/cedana-e2e"

// deadlineEnv carries the context's deadline to the program, as RFC 3339 text.
const deadlineEnv = "E2E_TARGET_DEADLINE"

// Target compiles the program, if it is not up to date, and runs the target in it. When the target fails, this process
// ends with its exit status: the program has said why.
//
// The end of ctx, or of the Mage that started this process, interrupts the program, which then puts things in order; the
// end of this process terminates it, so that it can do so even after `mage -t`, which waits for nothing.
func Target(ctx context.Context, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := parent.Gone(ctx)
	go func() {
		select {
		case <-gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	con, what, start := console.Standard(), "mage "+name, time.Now()
	home, err := settings.HomeDir(os.Getenv("E2E_HOME"))
	if err != nil {
		return fmt.Errorf("find a place for the compiled targets: %w; set E2E_HOME to a directory", err)
	}
	con.Learn(settings.DurationsFile(home))
	if last := con.Last(what); last > 0 {
		con.Step("%s: the last one took %s", what, last.Round(time.Second))
	}
	path, err := compile(ctx, con, home, name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	if deadline, ok := ctx.Deadline(); ok {
		cmd.Env = append(cmd.Env, deadlineEnv+"="+deadline.Format(time.RFC3339Nano))
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	// A group of its own: Ctrl-C comes to it once, by ctx, and not from the terminal as well.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	parent.Bind(cmd.SysProcAttr, syscall.SIGTERM)
	// The signal at the parent's end is sent when the thread ends that started the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(max(exit.ExitCode(), 1))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", path, err)
	}
	con.Took(what, time.Since(start))
	return nil
}

func compile(ctx context.Context, con *console.Console, home, name string) (string, error) {
	root, err := gobuild.Root()
	if err != nil {
		return "", err
	}
	path := binary(home, root)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		con.Step("compile the targets to %s: some minutes the first time, with all that they share with the node's programs", path)
		return path, compileFirst(ctx, con, root, name, path)
	}
	return path, compileTargets(ctx, con, root, path, 0)
}

// compileTargets compiles the program; packages is how many of it are not compiled yet, 0 where that is not known.
func compileTargets(ctx context.Context, con *console.Console, root, path string, packages int) error {
	return build(ctx, con, root, "compile the targets", packages, "-ldflags=-s -w", "-o", path, program)
}

func build(ctx context.Context, con *console.Console, root, what string, packages int, args ...string) error {
	args = append(append([]string{"build", "-v"}, gobuild.Flags()...), args...)
	_, err := gobuild.Run(ctx, con, gobuild.Command{What: what, Dir: root, Args: args, Packages: packages})
	return err
}

// binary is where the program of this clone goes: two clones may be at different commits, and run at the same time.
func binary(home, root string) string {
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(home, "build", "targets-"+hex.EncodeToString(sum[:6]))
}

// InterruptLimit is how long a target may put things in order after a signal: less than the 5 s after which `go tool mage`
// kills what is left, and than the 7.5 s after which GitHub does.
const InterruptLimit = 4 * time.Second

// giveUp ends this process and what it has started in its process group.
func giveUp() {
	fmt.Fprintf(os.Stderr, "Error: interrupted, and not in order after %s: `go tool mage clean` removes what is left\n", InterruptLimit)
	if syscall.Getpgrp() == os.Getpid() { // as Target starts it; else the group is the caller's
		_ = syscall.Kill(0, syscall.SIGKILL)
	}
	os.Exit(1)
}

// Main runs the target that the command line names, and returns the exit status.
func Main(targets map[string]func(context.Context) error) int {
	var name string
	if len(os.Args) == 2 {
		name = os.Args[1]
	}
	do := targets[name]
	if do == nil {
		fmt.Fprintf(os.Stderr, "Error: no target %q: run this through `go tool mage`\n", name)
		return 2
	}
	// Later signals change nothing: what is left to do then is to put things in order.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(InterruptLimit, giveUp) })()
	if text, ok := os.LookupEnv(deadlineEnv); ok {
		deadline, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			fmt.Fprintf(os.Stderr, "Error: read %s: %v\n", deadlineEnv, err)
			return 2
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	err := do(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "Error:", err)
	var status interface{ ExitStatus() int }
	if errors.As(err, &status) {
		return status.ExitStatus()
	}
	return 1
}
