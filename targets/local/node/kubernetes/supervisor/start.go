package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// startLimitVariable is how long whoever made the node waits for it; each wait of the node's start is bounded by it, so that the node
// does not give up first on a slow machine.
const startLimitVariable = "E2E_CLUSTER_TIMEOUT"

// startLimit is what the variable says, or 3 minutes where it says nothing that is a duration.
func startLimit(getenv func(string) string) time.Duration {
	if limit, err := time.ParseDuration(getenv(startLimitVariable)); err == nil && limit > 0 {
		return limit
	}
	return 3 * time.Minute
}

// stopLimit is how long a node's programs get to end in good order. Docker kills a container after 10 seconds.
const stopLimit = 4 * time.Second

// superviseUntilDone starts a node with run and waits until ctx ends (nil) or something does not stay up (its error); then it stops the
// programs, group after group.
func (c *programs) superviseUntilDone(ctx context.Context, log *slog.Logger, run func(context.Context, *sync.WaitGroup) error, groups [][]string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var background sync.WaitGroup
	started := make(chan error, 1)
	go func() { started <- run(ctx, &background) }()

	var err error
	running := true
	for running {
		select {
		case err = <-started:
			running = err == nil
			started = nil
		case err = <-c.failed:
			running = false
		case <-ctx.Done():
			running = false
		}
	}
	cancel()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	log.Info("Stopping")
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer done()
	c.stop(stopping, groups...)
	if started != nil {
		<-started // run ends soon: its context has
	}
	background.Wait()
	return err
}

// control runs one of the supervisor's own controllers in the background, and again when it fails.
func (c *programs) control(ctx context.Context, background *sync.WaitGroup, name string, run func(context.Context) error) {
	background.Go(func() {
		for {
			err := run(ctx)
			if ctx.Err() != nil {
				return
			}
			c.log.Warn(name+": will try again", "error", err)
			if pause(ctx, time.Second) != nil {
				return
			}
		}
	})
}

// startRuntime waits for containerd and gives it the node image's own images, and, as k3s does, the user's: a pod that comes
// before its image waits for the next time that the kubelet looks.
func startRuntime(ctx context.Context, log *slog.Logger) error {
	limited, cancel := limit(ctx)
	defer cancel()
	if err := waitListener(limited, "unix", ContainerdSocket); err != nil {
		return fmt.Errorf("wait for containerd: %w", err)
	}
	if err := askRuntime(limited); err != nil {
		return err
	}
	log.Info("Containerd is now running")
	if err := importImages(limited, bakedImages); err != nil {
		return err
	}
	if err := importImages(limited, importedImages); err != nil {
		log.Error("import images", "error", err)
	}
	return nil
}

// limit bounds one wait of a node's start.
func limit(ctx context.Context) (context.Context, context.CancelFunc) {
	most := startLimit(os.Getenv)
	return context.WithTimeoutCause(ctx, most, fmt.Errorf("not done within %s", most))
}

// waitPort waits until something listens on the node's TCP port.
func waitPort(ctx context.Context, port int) error {
	limited, cancel := limit(ctx)
	defer cancel()
	return waitListener(limited, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

// waitListener waits until something accepts connections at address.
func waitListener(ctx context.Context, network, address string) error {
	for {
		conn, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if stop := pause(ctx, 20*time.Millisecond); stop != nil {
			return fmt.Errorf("wait for %s: %w: last state: %w", address, stop, err)
		}
	}
}

// answerLimit is for one answer of the API server: under emulation it has taken more than 2 s.
const answerLimit = 30 * time.Second

// waitReady waits until the API server says that it is ready.
func waitReady(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	return retry(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(answerLimit).Do(ctx).Error()
	})
}

// writeConfig writes the configuration files of a node's programs.
func (w worker) writeConfig() error {
	content, err := w.kubeletConfig()
	if err != nil {
		return err
	}
	if err := writeFile(kubeletConfigFile, content, 0o600); err != nil {
		return fmt.Errorf("write kubelet configuration: %w", err)
	}
	return nil
}
