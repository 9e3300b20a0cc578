package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// steady is how long a program has to run for its end to count as the first in a row.
	steady = 30 * time.Second
	// tries is how often in a row a program may end before the node gives up. The node's container then ends, and Docker starts it again.
	tries = 5
	// tailLines is how much of a failed program's log is repeated on the node's own output, which is all that k3d shows.
	tailLines = 25
)

// program is one of the processes that make a node.
type program struct {
	name string
	// path of the executable; empty means this one, called by the program's name.
	path string
	args []string
	// memory is how much the program may use before it collects garbage as often as Go does by default; empty means from the start.
	memory string
}

// env makes a program's start cheaper: most of a start's garbage collections find nothing, and a start is what this node's users wait
// for. Measured: a sixth of a server's processor time until its node is ready.
func (p program) env() []string {
	if p.memory == "" {
		return nil
	}
	return []string{"GOGC=400", "GOMEMLIMIT=" + p.memory}
}

// programs keeps a node's programs running.
type programs struct {
	logDir string
	log    *slog.Logger
	// failed gets the error of a program that does not stay up.
	failed chan error

	mu       sync.Mutex
	stopping bool
	running  map[string]*member
}

type member struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func newPrograms(logDir string, log *slog.Logger) (*programs, error) {
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return nil, fmt.Errorf("create log directory: %w", err)
	}
	return &programs{logDir: logDir, log: log, failed: make(chan error, 1), running: map[string]*member{}}, nil
}

// start runs p, and runs it again when it ends.
func (c *programs) start(p program) error {
	m, err := c.launch(p)
	if err != nil {
		return err
	}
	go c.keep(p, m)
	return nil
}

func (c *programs) logFile(name string) string { return filepath.Join(c.logDir, name+".log") }

func (c *programs) launch(p program) (*member, error) {
	out, err := os.OpenFile(c.logFile(p.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: open log: %w", p.name, err)
	}
	defer out.Close()
	path := p.path
	if path == "" {
		path = "/proc/self/exe"
	}
	cmd := exec.Command(path, p.args...)
	cmd.Args[0] = p.name
	cmd.Env = append(withoutSecrets(os.Environ()), p.env()...)
	cmd.Stdout, cmd.Stderr = out, out
	// Its own group: Ctrl-C on a terminal is the supervisor's to handle, in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, fmt.Errorf("start %s: %w", p.name, errStopping)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	m := &member{cmd: cmd, done: make(chan struct{})}
	c.running[p.name] = m
	return m, nil
}

var errStopping = errors.New("the node is stopping")

// keep waits for m's end and starts p again, with growing pauses, until the node stops or p fails too often in a row.
func (c *programs) keep(p program, m *member) {
	for failures := 0; ; {
		started := time.Now()
		err := m.cmd.Wait()
		close(m.done)
		c.mu.Lock()
		stopping := c.stopping
		c.mu.Unlock()
		if stopping {
			return
		}
		if time.Since(started) > steady {
			failures = 0
		}
		failures++
		c.log.Error(fmt.Sprintf("%s ended", p.name), "state", m.cmd.ProcessState.String(), "times", failures)
		for _, line := range c.tail(p.name) {
			_, _ = fmt.Fprintf(os.Stdout, "%s | %s\n", p.name, line)
		}
		if failures >= tries {
			c.fail(fmt.Errorf("run %s: ended %d times in a row, last with %q (%s): see %s", p.name, failures, m.cmd.ProcessState.String(), fmt.Sprint(err), c.logFile(p.name)))
			return
		}
		time.Sleep(time.Duration(failures) * 500 * time.Millisecond)
		if m, err = c.launch(p); err != nil {
			if !errors.Is(err, errStopping) {
				c.fail(err)
			}
			return
		}
	}
}

func (c *programs) fail(err error) {
	select {
	case c.failed <- err:
	default: // the first failure is the one that stops the node
	}
}

// tail returns the last lines of a program's log.
func (c *programs) tail(name string) []string {
	file, err := os.Open(c.logFile(name))
	if err != nil {
		return []string{err.Error()}
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > 64<<10 {
		_, _ = file.Seek(-64<<10, 2)
	}
	var lines []string
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) > tailLines {
			lines = lines[1:]
		}
	}
	return lines
}

// stop ends the programs, group after group: each gets SIGTERM, and SIGKILL when ctx ends.
func (c *programs) stop(ctx context.Context, groups ...[]string) {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	for _, group := range groups {
		var members []*member
		for _, name := range group {
			c.mu.Lock()
			m := c.running[name]
			c.mu.Unlock()
			if m == nil {
				continue
			}
			_ = m.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
			members = append(members, m)
		}
		for _, m := range members {
			select {
			case <-m.done:
			case <-ctx.Done():
				_ = m.cmd.Process.Kill()
				<-m.done
			}
		}
	}
}

// withoutSecrets drops the cluster's token: no program needs it, and /proc shows environments.
func withoutSecrets(env []string) []string {
	var kept []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "K3S_TOKEN=") && !strings.HasPrefix(kv, "K3S_AGENT_TOKEN=") {
			kept = append(kept, kv)
		}
	}
	return kept
}
