// Package helper is the stand-in's part on every node: it installs the runtime wrapper there and takes checkpoints.
package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/health"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Environment is what the chart gives the helper.
type Environment struct {
	URL       string          `env:"CEDANA_URL,required"`
	Token     settings.Secret `env:"CEDANA_AUTH_TOKEN,required"`
	ClusterID string          `env:"CEDANA_CLUSTER_ID,required"`
	Node      string          `env:"CEDANA_NODE_NAME,required"`
	// Address for the health endpoints.
	Address string `env:"CEDANA_ADDRESS,default=127.0.0.1:8080"`
	// CheckpointTimeout bounds the dump of a pod, which stands still for so long, and RestoreTimeout the restore of a
	// container, which the runtime on this node does.
	CheckpointTimeout time.Duration `env:"CEDANA_CHECKPOINT_TIMEOUT,default=1m"`
	RestoreTimeout    time.Duration `env:"CEDANA_RESTORE_TIMEOUT,default=2m"`
	Compression       string        `env:"CEDANA_CHECKPOINT_COMPRESSION,default=none"`
	LogLevel          string        `env:"CEDANA_LOG_LEVEL,default=info"`
	// RuncRoot is where containerd on this node keeps runc's state: its runc root plus its namespace.
	RuncRoot string `env:"CEDANA_RUNC_ROOT,default=/run/containerd/runc/k8s.io"`
	// HostRoot is where the node's root is mounted in the helper's container.
	HostRoot string `env:"CEDANA_HOST_ROOT,default=/host"`
}

// Store is where checkpoints go.
type Store interface {
	// Put stores what open reads: size bytes, -1 for as many as there are. After a failed attempt it is opened again.
	Put(ctx context.Context, path string, size int64, open func() io.ReadCloser) (worker.Stored, error)
	// Dumped tells that the pod of a checkpoint action is dumped and runs on.
	Dumped(ctx context.Context, actionID string) error
}

// Helper does the work of one node.
type Helper struct {
	config      layout.Config
	compression archive.Compression
	store       Store
	dump        Dump
	dumpTimeout time.Duration
	tools       tools
	// runcRoot is where a checkpoint that names no root is looked for.
	runcRoot string
	// problem is why this node cannot checkpoint; nil when it can.
	problem error

	workDir, frozenDir string
	pods               podLocks
}

// Seams are where something can be put around the parts of a helper; the zero value puts nothing.
type Seams struct {
	// Transport carries what is asked of the propagator; nil means its client's own.
	Transport http.RoundTripper
	// Dump is given what takes checkpoints and returns what to use in its place.
	Dump func(Dump) Dump
}

// Main is `cedana helper`. It starts in the helper's container, installs itself on the node and goes on there.
func Main(ctx context.Context, args []string, seams Seams) error {
	var env Environment
	if err := envconfig.Process(ctx, &env); err != nil {
		return fmt.Errorf("read environment: %w", err)
	}
	if env.URL == "" || !env.Token.Set() || env.ClusterID == "" || env.Node == "" {
		return errors.New("read environment: CEDANA_URL, CEDANA_AUTH_TOKEN, CEDANA_CLUSTER_ID and CEDANA_NODE_NAME must not be empty")
	}
	if err := configureLog(env.LogLevel); err != nil {
		return err
	}
	there, err := onNode()
	if err != nil {
		return err
	}
	if !there {
		if err := install(env.HostRoot); err != nil {
			return err
		}
		if err := installCA(env.HostRoot); err != nil {
			return err
		}
		return enterNode(args)
	}
	if self, err := os.Executable(); err != nil || self != layout.Binary {
		if err := install("/"); err != nil {
			return err
		}
	}
	return run(ctx, env, seams)
}

func configureLog(level string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("read CEDANA_LOG_LEVEL: %q, want debug, info, warn or error", level)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})))
	return nil
}

// run is the helper on its node.
func run(ctx context.Context, env Environment, seams Seams) error {
	// First of all: whatever else is wrong, no pod stays frozen.
	broken, err := thawLeftOver(ctx, layout.FrozenDir)
	if err != nil {
		slog.Error("thawing pods of an earlier helper failed", "error", err)
	}
	if err := startWatcher(layout.Binary, layout.FrozenDir, startOutside); err != nil {
		return err
	}
	compression, err := archive.ParseCompression(env.Compression)
	if err != nil {
		return fmt.Errorf("read CEDANA_CHECKPOINT_COMPRESSION: %w", err)
	}
	if !filepath.IsAbs(env.RuncRoot) {
		return fmt.Errorf("read CEDANA_RUNC_ROOT: %q, want an absolute path, such as /run/containerd/runc/k8s.io", env.RuncRoot)
	}
	queue, err := worker.New(env.URL, env.Token, work.RoleHelper, env.ClusterID, env.Node, seams.Transport)
	if err != nil {
		return err
	}
	if env.CheckpointTimeout <= 0 || env.RestoreTimeout <= 0 {
		return errors.New("read environment: CEDANA_CHECKPOINT_TIMEOUT and CEDANA_RESTORE_TIMEOUT must be above zero")
	}
	h := &Helper{
		config: layout.Config{
			URL: env.URL, Token: env.Token.Reveal(), ClusterID: env.ClusterID, Node: env.Node, CAFile: os.Getenv(layout.CAVariable),
			RestoreTimeout: settings.Duration{Duration: env.RestoreTimeout}, TimeoutScale: stretch.Factor(),
		},
		compression: compression, store: queue, dumpTimeout: env.CheckpointTimeout, runcRoot: env.RuncRoot, workDir: layout.WorkDir, frozenDir: layout.FrozenDir,
	}
	h.dump = h.dumpPod
	if seams.Dump != nil {
		h.dump = seams.Dump(h.dump)
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	ready := health.New(env.Address, "no answer from the propagator yet")
	if h.problem != nil {
		slog.Error("this node cannot checkpoint", "reason", h.problem)
		ready.Fail(h.problem)
	}
	polled := func(err error) {
		switch {
		case err != nil:
			ready.Fail(fmt.Errorf("poll %s for work: %w", env.URL, err))
		case h.problem == nil:
			ready.Ok()
		}
	}
	return ready.Serve(ctx, func(ctx context.Context) error {
		go h.tidy(ctx)
		go giveUp(ctx, queue, broken)
		queue.Serve(ctx, polled, h.do)
		return nil
	})
}

// giveUp ends the work that an earlier helper was killed at, before its lease would.
func giveUp(ctx context.Context, queue *worker.Client, broken []string) {
	for _, id := range broken {
		err := queue.Result(ctx, id, work.Result{Error: "the helper was killed in the middle of the checkpoint"})
		if err != nil && !errors.Is(err, worker.ErrLost) {
			slog.Warn("giving up the work of an earlier helper failed", "work", id, "error", err)
		}
	}
}

// prepare makes the node ready for checkpoints and restores.
func (h *Helper) prepare(ctx context.Context) error {
	if err := removeLeftOver(h.workDir); err != nil {
		return err
	}
	if err := h.config.Save(layout.ConfigFile); err != nil {
		return err
	}
	var err error
	h.tools, err = findTools(ctx)
	if err == nil {
		err = configureCRIU(layout.CRIUConfig)
	}
	if err == nil {
		err = checkRuncRoot(h.runcRoot)
	}
	h.problem = err
	if err == nil {
		if warmErr := h.tools.warm(ctx); warmErr != nil {
			// `criu check` wants more than a dump of most programs does.
			slog.Warn("criu check found something missing", "reason", warmErr)
		}
	}
	slog.Info("node prepared", "node", h.config.Node, "runc", h.tools.Runc, "runc_version", h.tools.RuncVersion,
		"criu", h.tools.CRIU, "criu_version", h.tools.CRIUVersion, "kernel", h.tools.Kernel)
	return nil
}

// checkRuncRoot wants the runc root on this node. The helper's own container is one, so containerd has made it by now.
func checkRuncRoot(root string) error {
	if _, err := os.Stat(root); err != nil {
		return fmt.Errorf("find the state of the helper's own container: %w: containerd's runc root is another one (RUNC_ROOT)", err)
	}
	return nil
}

// removeLeftOver deletes what a killed helper left of its checkpoints, and killed restores of theirs. A restore that goes
// on is left alone.
func removeLeftOver(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make working directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read working directory: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "checkpoint-") {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("remove left-over checkpoints: %w", err)
	}
	return layout.RemoveAbandoned(dir, layout.RestorePrefix)
}

// tidy removes, once a minute, what killed restores left, and the restore markers of pods that kubelet no longer has.
func (h *Helper) tidy(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := layout.RemoveAbandoned(h.workDir, layout.RestorePrefix); err != nil {
			slog.Warn("removing what killed restores left failed", "error", err)
		}
		entries, err := os.ReadDir(layout.RestoredDir)
		if err != nil {
			continue // nothing was restored here yet
		}
		for _, entry := range entries {
			if _, err := os.Stat(filepath.Join(layout.KubeletPods, entry.Name())); errors.Is(err, os.ErrNotExist) {
				if err := os.RemoveAll(filepath.Join(layout.RestoredDir, entry.Name())); err != nil {
					slog.Warn("forgetting a gone pod failed", "pod_uid", entry.Name(), "error", err)
				}
			}
		}
	}
}
