package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// ExitError is a command in a container that ended with a status other than zero.
type ExitError struct {
	Container string
	Argv      []string
	Code      int
	// Stderr is what the command said there, without surrounding white space.
	Stderr string
}

func (e *ExitError) Error() string {
	text := fmt.Sprintf("%s in %s: exit status %d", e.Argv[0], e.Container, e.Code)
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

// Exec runs argv in a running container as its user and waits for its end. Standard input is stdin, or nothing when
// nil; standard output goes to stdout, or nowhere when nil. A status other than zero is an [*ExitError]. When ctx
// ends first the command may go on in the container: Docker has no way to end an exec, so a command that may hang
// must carry its own time limit.
func Exec(ctx context.Context, c *client.Client, name string, stdin io.Reader, stdout io.Writer, argv ...string) error {
	if stdout == nil {
		stdout = io.Discard
	}
	created, err := c.ContainerExecCreate(ctx, name, container.ExecOptions{
		Cmd: argv, AttachStdin: stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return fmt.Errorf("exec %s in %s: %w", argv[0], name, err)
	}
	conn, err := c.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{})
	if err != nil {
		return fmt.Errorf("exec %s in %s: %w", argv[0], name, err)
	}
	defer conn.Close()
	// The hijacked connection does not know ctx; closing it ends both copies below.
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()

	input := &source{r: stdin}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if stdin != nil {
			// What cannot be sent the command did not want: it ended first, and its exit status tells.
			_, _ = io.Copy(conn.Conn, input)
			_ = conn.CloseWrite()
		}
	}()
	var stderr bytes.Buffer
	_, err = stdcopy.StdCopy(stdout, &stderr, conn.Reader)
	if ctx.Err() != nil {
		return fmt.Errorf("exec %s in %s: %w", argv[0], name, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("read the output of %s in %s: %w", argv[0], name, err)
	}
	// The output has ended, so the command has too, whether or not it took all of its input: a sender that still
	// waits for it is let go by the closed connection.
	conn.Close()
	<-sent
	done, err := c.ContainerExecInspect(ctx, created.ID)
	switch {
	case err != nil:
		return fmt.Errorf("read the exit status of %s in %s: %w", argv[0], name, err)
	case done.Running:
		return fmt.Errorf("exec %s in %s: the connection ended before the command did", argv[0], name)
	case done.ExitCode != 0:
		return &ExitError{Container: name, Argv: argv, Code: done.ExitCode, Stderr: strings.TrimSpace(stderr.String())}
	case input.err != nil:
		return fmt.Errorf("read the input for %s in %s: %w", argv[0], name, input.err)
	}
	return nil
}

// source remembers why reading ended early: the command in the container cannot tell a broken input from a short one.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Logs is what [Tail] needs of a Docker client.
type Logs interface {
	ContainerLogs(context.Context, string, container.LogsOptions) (io.ReadCloser, error)
}

// Tail returns the last lines of a container's log, standard output and standard error together. It works on a
// stopped container too.
func Tail(ctx context.Context, c Logs, name string, lines int) (string, error) {
	logs, err := c.ContainerLogs(ctx, name, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: fmt.Sprint(lines)})
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", name, err)
	}
	defer logs.Close()
	var text bytes.Buffer
	if _, err := stdcopy.StdCopy(&text, &text, logs); err != nil {
		return text.String(), fmt.Errorf("read the log of %s: %w", name, err)
	}
	return strings.TrimRight(text.String(), "\n"), nil
}
