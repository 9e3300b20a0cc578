package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// testPackage is where the tests are, below the repository.
const testPackage = "tests/e2e"

// grace is how long the tests have to end after an interrupt. mage itself ends 5 s after one.
const grace = 3 * time.Second

// Compiled are the paths of the test program, and of those that run it and read what it says.
type Compiled struct{ tests, gotestsum, test2json string }

// compile builds the test program, apart from running it: `go test` would link it anew each time (4 s), while this
// does nothing when it is up to date (1 s), and the time limit of the tests is theirs alone. Go would compile the tools
// in silence when they are first called.
func compile(ctx context.Context, con *console.Console, s *settings.Suite, dir string) (*Compiled, error) {
	c := &Compiled{tests: filepath.Join(s.ClusterDir(), "e2e.test")}
	if err := os.MkdirAll(filepath.Dir(c.tests), 0o700); err != nil {
		return nil, fmt.Errorf("make cluster directory: %w", err)
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		args := append([]string{"test", "-c", "-v", "-vet=off", "-tags", "e2e", "-ldflags=-s -w", "-o", c.tests}, gobuild.Flags()...)
		_, err := gobuild.Run(ctx, con, gobuild.Command{
			What: "compile the tests in " + filepath.Join(dir, testPackage), Dir: dir, Args: append(args, "./"+testPackage),
		})
		return err
	})
	for name, path := range map[string]*string{"gotestsum": &c.gotestsum, "test2json": &c.test2json} {
		work.Go(func() error {
			// It prints where the tool is, and compiles it for that.
			out, err := gobuild.Run(ctx, con, gobuild.Command{What: "compile " + name, Dir: dir, Args: []string{"tool", "-n", name}})
			*path = strings.TrimSpace(string(out))
			return err
		})
	}
	return c, work.Wait()
}

// command is a program in a process group of its own, which is interrupted when ctx ends. A Ctrl-C at the terminal
// does not reach it by itself: mage's context does.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return signalGroup(cmd, syscall.SIGINT) }
	cmd.WaitDelay = grace
	return cmd
}

// run waits for the program, and then ends whatever is left of its group: a test program does not always die with
// the gotestsum that started it.
func run(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	if killErr := signalGroup(cmd, syscall.SIGKILL); killErr != nil {
		err = errors.Join(err, fmt.Errorf("end what %s left running: %w", cmd.Path, killErr))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func signalGroup(cmd *exec.Cmd, sig syscall.Signal) error {
	if err := syscall.Kill(-cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// timeoutError is the end of the time for the tests.
type timeoutError struct{ limit time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("not done within E2E_SUITE_TIMEOUT=%s", e.limit)
}

// limits are the time that the test program gives itself and, above it, the time after which it is ended from
// outside. The test program's own end has all goroutines in its output, so it should come first.
func limits(whole time.Duration) (inner, outer time.Duration) {
	return whole - min(30*time.Second, whole/3), whole
}

func runTests(ctx context.Context, con *console.Console, step *console.Step, s *settings.Suite, opts Options, m mask.Mask, compiled *Compiled, to *Report) (err error) {
	whole := s.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		whole = min(whole, time.Until(deadline))
	}
	inner, outer := limits(whole)
	ctx, cancel := context.WithTimeoutCause(ctx, outer, &timeoutError{s.Timeout})
	defer cancel()

	// gotestsum's files have the tests' output as it is: they are masked on their way to the artifacts.
	raw, err := os.MkdirTemp(s.ClusterDir(), "run-")
	if err != nil {
		return fmt.Errorf("make directory for results: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(raw)) }()

	file := filepath.Join(s.ClusterDir(), settings.TestFileName)
	if err := writeTestFile(file, testFile(s, opts)); err != nil {
		return err
	}
	output := m.Writer(withoutAttributes{con.Progress()})
	cmd := command(ctx, compiled.gotestsum, gotestsum(s, opts, raw, compiled, inner)...)
	cmd.Dir = filepath.Join(opts.Dir, testPackage)
	cmd.Env = environment(ctx, opts, file)
	cmd.Stdout, cmd.Stderr = output, output

	followed := follow(filepath.Join(raw, eventsFile), to, step, m, func() error { return to.Save(s.Artifacts, m) })
	runErr := run(ctx, cmd)
	err = errors.Join(runErr, followed(), output.Close())
	if publishErr := publish(filepath.Join(raw, eventsFile), filepath.Join(s.Artifacts, eventsFile), m); publishErr != nil && runErr == nil {
		err = errors.Join(err, publishErr)
	}
	return err
}

// gotestsum's arguments. It is given the compiled test program as a raw command, through test2json, which is
// what `go test -json` does.
func gotestsum(s *settings.Suite, opts Options, raw string, compiled *Compiled, limit time.Duration) []string {
	format := "testname"
	if opts.Getenv("GITHUB_ACTIONS") == "true" {
		format = "github-actions"
	}
	args := []string{
		"--format", format, "--format-hide-empty-pkg", "--hide-summary", "skipped",
		"--jsonfile", filepath.Join(raw, eventsFile), "--raw-command", "--",
		compiled.test2json, "-t", "-p", testPackage,
		compiled.tests, "-test.v=test2json", "-test.paniconexit0", "-test.count=1",
		"-test.timeout=" + limit.String(), "-test.parallel=" + strconv.Itoa(s.Parallel),
	}
	if s.Pattern != "" {
		args = append(args, "-test.run="+s.Pattern)
	}
	return args
}

// publish copies a file with its secrets masked.
func publish(from, to string, m mask.Mask) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("keep %s: %w", filepath.Base(to), err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("keep %s: %w", filepath.Base(to), err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	masked := m.Writer(out)
	if _, err := io.Copy(masked, in); err != nil {
		return fmt.Errorf("keep %s: %w", filepath.Base(to), err)
	}
	return masked.Close()
}

// withoutAttributes keeps what tests tell the record, a line for each step, from the terminal. It is given whole lines.
type withoutAttributes struct{ to io.Writer }

func (w withoutAttributes) Write(lines []byte) (int, error) {
	for line := range bytes.Lines(lines) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("=== ATTR ")) {
			continue
		}
		if _, err := w.to.Write(line); err != nil {
			return 0, err
		}
	}
	return len(lines), nil
}
