package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// stopLimit is how long a node's programs get to end in good order. Docker kills a container after 10 seconds.
const stopLimit = 4 * time.Second

// superviseUntilDone starts a node with run and waits until ctx ends (nil) or something does not stay up (its error); then it stops the
// programs, group after group.
func (c *crew) superviseUntilDone(ctx context.Context, log *slog.Logger, run func(context.Context, *sync.WaitGroup) error, groups [][]string) error {
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
func (c *crew) control(ctx context.Context, background *sync.WaitGroup, name string, run func(context.Context) error) {
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

// startRuntime waits for containerd and gives it the node's images.
func startRuntime(ctx context.Context, log *slog.Logger) error {
	if err := waitSocket(ctx, ContainerdSocket); err != nil {
		return fmt.Errorf("wait for containerd: %w", err)
	}
	log.Info("Containerd is now running")
	if err := importImages(ctx, bakedImages); err != nil {
		return err
	}
	// The user's own images may be many; pods wait for theirs, not for all.
	go func() {
		if err := importImages(ctx, importedImages); err != nil {
			log.Error("import images", "error", err)
		}
	}()
	return nil
}

// waitReady waits until the API server says that it is ready.
func waitReady(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	for {
		err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(2 * time.Second).Do(ctx).Error()
		if err == nil {
			return nil
		}
		if stop := pause(ctx, 50*time.Millisecond); stop != nil {
			return fmt.Errorf("%w: last state: %w", stop, err)
		}
	}
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
