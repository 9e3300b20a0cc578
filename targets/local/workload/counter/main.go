// Go 1.24 and newer listen with Multipath TCP by default, whose sockets CRIU cannot dump ("inet: Unsupported proto
// 262"). Any Go server that is to be checkpointed needs this line, or GODEBUG=multipathtcp=0.

//go:debug multipathtcp=0

// The counter is the pod under test: a small server whose whole state can be asked for over HTTP and compared before a
// checkpoint and after a restore.
//
// It keeps a random nonce, a count that goes up every 100 ms, optional random memory, and files that it appends to
// through descriptors held open since the start. See package report for what it tells about itself, and `mux` for
// its paths.
//
// With COUNTER_LOAD_URL it is the other side instead: a client that requests that address without end and counts what
// it gets.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// config is the counter's environment.
type config struct {
	Port string `env:"PORT, default=8080"`
	// MemoryMiB of random bytes are held in memory.
	MemoryMiB int `env:"COUNTER_MEMORY_MIB, default=0"`
	// Warmup is how long it takes until it listens, as a program does that first loads a model.
	Warmup time.Duration `env:"COUNTER_WARMUP, default=0s"`
	// Log is the file on the root file system that is held open.
	Log string `env:"COUNTER_LOG, default=/var/lib/counter/log"`
	// Dir is where a volume is mounted; a second file, `log`, is held open there.
	Dir string `env:"COUNTER_DIR"`
	// Kinds are the further kinds of state to have, of those in `kinds`; "all" has all but
	// "stopped", a process that not every node can checkpoint.
	Kinds []string `env:"COUNTER_KINDS"`
	// State is the directory for the files that they need.
	State string `env:"COUNTER_STATE, default=/var/lib/counter/state"`
	// Trees are directories, by name, that are filled with files of every sort: `root:/var/tree,volume:/data/tree`.
	Trees map[string]string `env:"COUNTER_TREES"`
	// Image is a directory with report.ImageFiles; most are changed, deleted and shadowed.
	Image string `env:"COUNTER_IMAGE"`

	// Peer is the address of another counter, which this one asks at every count how far that has counted.
	Peer string `env:"COUNTER_PEER"`

	// LoadURL makes this a client; LoadWorkers connections each make a request every LoadInterval. An answer counts when
	// it is a 200 with LoadExpect in it and comes within LoadTimeout.
	LoadURL      string        `env:"COUNTER_LOAD_URL"`
	LoadExpect   string        `env:"COUNTER_LOAD_EXPECT"`
	LoadWorkers  int           `env:"COUNTER_LOAD_WORKERS, default=2"`
	LoadInterval time.Duration `env:"COUNTER_LOAD_INTERVAL, default=20ms"`
	LoadTimeout  time.Duration `env:"COUNTER_LOAD_TIMEOUT, default=2s"`
}

func main() {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(beChild(role, os.Stdin, os.Stdout))
	}
	// As process 1 of a container, a program that does not ask for SIGTERM never gets it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, envconfig.OsLookuper(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "counter:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, lookuper envconfig.Lookuper, out io.Writer) error {
	var c config
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: lookuper}); err != nil {
		return fmt.Errorf("read environment: %w", err)
	}
	if c.LoadURL != "" {
		l := newLoad(c)
		l.start(ctx)
		return serve(ctx, c.Port, l.mux())
	}
	counter, err := newCounter(c, out)
	if err != nil {
		return err
	}
	counter.start(ctx)
	select {
	case <-time.After(c.Warmup):
	case <-ctx.Done():
	}
	return serve(ctx, c.Port, counter.mux())
}

// serve answers on the port until the context ends.
func serve(ctx context.Context, port string, handler http.Handler) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("listen on PORT %q: not a port number", port)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("listen on port %s: %w", port, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve port %s: %w", port, err)
	}
	return nil
}
