package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// daemon is a process that this one started and that outlives it.
type daemon struct {
	name string
	pid  int
	log  string
	// exited is closed when it ended; state says how.
	exited chan struct{}
	state  *os.ProcessState
}

// launch starts a daemon in a session of its own, so that neither Ctrl-C nor the end of the terminal reaches it, with
// an environment that has the mark, no secrets, and what image pulls need.
func launch(o Options, name, program string, args ...string) (*daemon, error) {
	path := o.dir(name + ".log")
	// The log of the run before, if any, is what explains why it ended.
	if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("start %s: keep old log: %w", name, err)
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = daemonEnvironment(o.RunDir, os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	d := &daemon{name: name, pid: cmd.Process.Pid, log: path, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state says it all
		d.state = cmd.ProcessState
		close(d.exited)
	}()
	return d, nil
}

func daemonEnvironment(runDir string, caller []string) []string {
	env := []string{mark(runDir), "PATH=" + searchPath(os.Getenv("PATH"))}
	for _, entry := range caller {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME":
			env = append(env, entry)
		}
	}
	return env
}

// wait waits until the daemon is ready, ended or late. The error has the end of its log.
func (d *daemon) wait(ctx context.Context, o Options, timeout time.Duration, ready func(context.Context) error) error {
	start, said := time.Now(), time.Now()
	waitCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		last := ready(waitCtx)
		if last == nil {
			return nil
		}
		select {
		case <-d.exited:
			return fmt.Errorf("start %s: it ended with %s; the end of %s:\n%s", d.name, d.state, d.log, d.logEnd())
		case <-waitCtx.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("start %s: %w", d.name, ctx.Err())
			}
			return fmt.Errorf("start %s: not ready after %s: %w; the end of %s:\n%s", d.name, timeout, last, d.log, d.logEnd())
		case <-time.After(25 * time.Millisecond):
		}
		if time.Since(said) > 8*time.Second {
			said = time.Now()
			o.Progress.Step("waiting for %s (%s): %v", d.name, time.Since(start).Round(time.Second), last)
		}
	}
}

func (d *daemon) logEnd() string {
	data, err := os.ReadFile(d.log)
	if err != nil {
		return indent(err.Error())
	}
	return indent(lastLines(data, 8))
}

func dial(socket string) error {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
