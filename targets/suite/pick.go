package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Program is the compiled suite, for those who run parts of it many times.
type Program struct {
	settings *settings.Suite
	options  Options
	compiled *Compiled
	mask     mask.Mask
}

// Compile compiles the suite, for [Options.Compiled]. It can be done while others wait. The repository is in dir.
func Compile(ctx context.Context, con *console.Console, s *settings.Suite, dir string) (*Compiled, error) {
	var compiled *Compiled
	err := con.Run(ctx, "compile the tests", func(ctx context.Context, _ *console.Step) (err error) {
		compiled, err = compile(ctx, con, s, dir)
		return err
	})
	return compiled, err
}

// Load compiles the suite once, for [Program.Run].
func Load(ctx context.Context, con *console.Console, s *settings.Suite, opts Options) (*Program, error) {
	p := &Program{settings: s, options: opts.withDefaults(s)}
	p.mask = mask.New(p.options.Token)
	p.compiled = p.options.Compiled
	if p.compiled != nil {
		return p, nil
	}
	var err error
	p.compiled, err = Compile(ctx, con, s, p.options.Dir)
	return p, err
}

// Pick is a part of the suite.
type Pick struct {
	// Tests are the names of top-level tests, whatever their groups.
	Tests []string
	// Change changes what the tests are given.
	Change func(*settings.TestFile)
	// Limit bounds the whole pick.
	Limit time.Duration
}

// Run runs a part of the suite. Tests that fail are no error, as long as every one of them has ended.
func (p *Program) Run(ctx context.Context, pick Pick) (*Report, error) {
	inner, outer := limits(pick.Limit)
	ctx, cancel := context.WithTimeoutCause(ctx, outer, fmt.Errorf("not done within %s", outer))
	defer cancel()
	f := testFile(p.settings, p.options)
	if pick.Change != nil {
		pick.Change(&f)
	}
	dir, err := os.MkdirTemp(p.settings.ClusterDir(), "run-")
	if err != nil {
		return nil, fmt.Errorf("make directory for the tests' settings: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, settings.TestFileName)
	if err := writeTestFile(file, f); err != nil {
		return nil, err
	}
	cmd := command(ctx, p.compiled.test2json, "-t", "-p", testPackage,
		p.compiled.tests, "-test.v=test2json", "-test.paniconexit0", "-test.count=1", "-test.run="+exactly(pick.Tests),
		"-test.timeout="+inner.String(), "-test.parallel="+strconv.Itoa(p.settings.Parallel))
	cmd.Dir = filepath.Join(p.options.Dir, testPackage)
	cmd.Env = environment(ctx, p.options, file)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	said := &Report{Subject: p.options.Subject, URL: p.options.URL}
	followed := make(chan error, 1)
	go func() { followed <- said.read(read, p.mask) }()
	err = run(ctx, cmd)
	if err = errors.Join(cleanExit(err), write.Close(), <-followed); err != nil {
		return said, fmt.Errorf("run %s: %w", pick.names(), err)
	}
	if open := names(said.Of(report.Interrupted)); len(open) > 0 {
		return said, fmt.Errorf("run %s: not finished: %v", pick.names(), open)
	}
	for _, name := range pick.Tests {
		if said.byName[name] == nil {
			return said, fmt.Errorf("run %s: there is no test %s", pick.names(), name)
		}
	}
	return said, nil
}

// names are those of the tests, or how many they are: an error begins with it.
func (p Pick) names() string {
	if len(p.Tests) > 3 {
		return fmt.Sprintf("%d tests", len(p.Tests))
	}
	return strings.Join(p.Tests, ", ")
}

// exactly is the -run pattern of these tests and no others.
func exactly(tests []string) string {
	pattern := "^("
	for i, name := range tests {
		if i > 0 {
			pattern += "|"
		}
		pattern += name
	}
	return pattern + ")$"
}

// cleanExit takes the exit status of a program whose tests failed for what it is.
func cleanExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	return err
}

// read takes the events of test2json until their end. What is no event is what a program says that cannot run.
func (r *Report) read(from io.Reader, m mask.Mask) error {
	var said string
	decode := json.NewDecoder(from)
	for {
		var e event
		err := decode.Decode(&e)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			rest, _ := io.ReadAll(io.MultiReader(decode.Buffered(), from))
			return fmt.Errorf("read test events: %w: %s", err, m.Text(string(rest)))
		}
		e.Output, e.Value = m.Text(e.Output), m.Text(e.Value)
		if e.Test == "" {
			said += e.Output
		}
		r.add(e)
	}
	if len(r.Tests) == 0 {
		return fmt.Errorf("no test began: %s", said)
	}
	return r.problem
}

// Failed lists the tests that failed.
func (r *Report) Failed() []*report.Test { return r.Of(report.Failed) }

// Skipped lists the tests that were skipped.
func (r *Report) Skipped() []*report.Test { return r.Of(report.Skipped) }
