// Package console is where people see what happens: progress goes to stderr, data to stdout. On a terminal each piece of
// work under way has a line with a bar. Off one, or with NO_COLOR set (https://no-color.org), lines are plain.
package console

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"golang.org/x/term"
)

// Heartbeat is how often a running step says off a terminal how far it is: often enough that nothing is silent for long.
const Heartbeat = 10 * time.Second

// Console writes progress and data. Its methods may be called from several goroutines.
type Console struct {
	mu       sync.Mutex
	progress io.Writer
	data     io.Writer
	color    bool
	beat     time.Duration
	// terminal says that bars are drawn. bars is nil while there are none; drawn counts them.
	terminal bool
	bars     *mpb.Progress
	drawn    int

	durations durations
}

// New returns a console that writes progress and data to the given writers, in plain lines.
func New(progress, data io.Writer) *Console {
	return &Console{progress: progress, data: data, beat: Heartbeat}
}

// Standard returns the console of this process: stderr and stdout, with bars and colours when stderr is a terminal and NO_COLOR
// is not set to anything.
func Standard() *Console {
	c := New(os.Stderr, os.Stdout)
	c.color = colored(os.Getenv, term.IsTerminal(int(os.Stderr.Fd())))
	c.terminal = c.color && os.Getenv("TERM") != "dumb"
	return c
}

// Learn makes the console remember in a file how long things take, and know it from there. The directory need not be there.
func (c *Console) Learn(file string) { c.durations.file = file }

func colored(getenv func(string) string, terminal bool) bool {
	return terminal && getenv("NO_COLOR") == ""
}

// Data is the writer for what a user asked for.
func (c *Console) Data() io.Writer { return c.data }

// Progress is a writer of whole progress lines, for the output of other programs.
func (c *Console) Progress() io.Writer { return lockedWriter{c} }

// Step prints a line of progress: something was begun or done that is not worth a timed step of its own.
func (c *Console) Step(format string, args ...any) { c.line(dim, "-", fmt.Sprintf(format, args...)) }

// Warn prints something the user should know although the work goes on.
func (c *Console) Warn(format string, args ...any) { c.line(yellow, "!", fmt.Sprintf(format, args...)) }

// Ok prints a finished piece of work.
func (c *Console) Ok(format string, args ...any) { c.line(green, "✓", fmt.Sprintf(format, args...)) }

// Fail prints a piece of work that failed.
func (c *Console) Fail(format string, args ...any) { c.line(red, "✗", fmt.Sprintf(format, args...)) }

// Run does one named step: it says that it is under way, as [Console.Watch] does, and then the outcome with the time it took.
// The error is returned as it came.
func (c *Console) Run(ctx context.Context, name string, do func(ctx context.Context, s *Step) error) error {
	s := &Step{}
	if !c.terminal {
		c.line(dim, "•", name)
	}
	start := time.Now()
	end := c.Watch(name, func() State { return State{Detail: s.State()} })
	err := do(ctx, s)
	end(err)
	took := time.Since(start).Round(10 * time.Millisecond)
	if err != nil {
		c.Fail("%s failed after %s", name, took)
		return err
	}
	if note := s.note(); note != "" {
		c.Ok("%s: %s (%s)", name, note, took)
	} else {
		c.Ok("%s (%s)", name, took)
	}
	return nil
}

// Step is a running step of Run.
type Step struct {
	mu      sync.Mutex
	state   string
	outcome string
}

// Set says what the step is doing or waiting for now; the next line about it shows it.
func (s *Step) Set(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = oneLine(fmt.Sprintf(format, args...))
}

// Note is what the step's last line says beside its name.
func (s *Step) Note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcome = oneLine(fmt.Sprintf(format, args...))
}

// oneLine is what a state is, whatever error it is made of: who reads the log looks for its lines.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}

// State is what Set said last.
func (s *Step) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Step) note() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outcome
}

type color string

const (
	dim    color = "2"
	red    color = "31"
	green  color = "32"
	yellow color = "33"
)

func (c *Console) line(col color, mark, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.color {
		mark = "\x1b[" + string(col) + "m" + mark + "\x1b[0m"
	}
	// A progress line that cannot be written has nobody to read it.
	_, _ = fmt.Fprintf(c.out(), "%s %s\n", mark, text)
}

type lockedWriter struct{ c *Console }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return w.c.out().Write(p)
}
