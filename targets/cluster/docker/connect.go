// Package docker is the little that several parts ask of a Docker engine: to connect, to run a command in a
// container, to read its last log lines, and to find and remove what carries this project's labels.
package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/docker/docker/client"
)

// DefaultHost is where a Docker engine listens when nobody says otherwise.
const DefaultHost = client.DefaultDockerHost

// Connect returns a client of the engine at host, a Docker host URL; empty means DOCKER_HOST, else [DefaultHost].
// Nothing is sent yet. TLS settings are taken from Docker's own environment, for TCP hosts only: DOCKER_TLS_VERIFY
// would otherwise break the unix socket of another engine than the one it is meant for.
func Connect(host string) (*client.Client, error) {
	if host == "" {
		host = Host()
	}
	opts := []client.Opt{client.WithAPIVersionNegotiation()}
	if u, err := url.Parse(host); err == nil && u.Scheme == "tcp" {
		opts = append(opts, client.WithTLSClientConfigFromEnv())
	}
	c, err := client.NewClientWithOpts(append(opts, client.WithHost(host))...)
	if err != nil {
		return nil, fmt.Errorf("connect to the Docker engine at %s: %w", host, err)
	}
	return c, nil
}

// Host is the engine at hand: DOCKER_HOST, else [DefaultHost].
func Host() string {
	if host := os.Getenv(client.EnvOverrideHost); host != "" {
		return host
	}
	return DefaultHost
}

// Ping fails with an error that names the engine.
func Ping(ctx context.Context, c *client.Client) error {
	if _, err := c.Ping(ctx); err != nil {
		return fmt.Errorf("reach the Docker engine at %s: %w (next: `go tool mage doctor`)", c.DaemonHost(), err)
	}
	return nil
}

// Absent reports whether err, of a request to the engine at host, says that nothing listens there, as opposed to an
// engine that does not answer or does not let us in.
func Absent(host string, err error) bool {
	if path, ok := strings.CutPrefix(host, "unix://"); ok {
		// The client hides the cause of a failed dial, so dial once more.
		conn, dialErr := net.Dial("unix", path)
		if dialErr == nil {
			_ = conn.Close()
			return false
		}
		return errors.Is(dialErr, fs.ErrNotExist) || errors.Is(dialErr, syscall.ECONNREFUSED)
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
