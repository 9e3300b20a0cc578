package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	containerdTimeout = 30 * time.Second
	dockerdTimeout    = 90 * time.Second
	// slowTimeout is how long a private engine whose daemons are alive may take to answer before it is taken for hung
	// and killed with all that runs in it: long, since a loaded machine is more likely.
	slowTimeout = 30 * time.Second
	// minFree is what an engine needs to start at all; images and nodes need gigabytes more.
	minFree = 1 << 30
	// maxRunDir is what the longest socket path (…/containerd/containerd.sock.ttrpc) leaves of the kernel's 108 bytes.
	maxRunDir = 107 - len("/containerd/containerd.sock.ttrpc")
)

// state is what RunDir remembers of a running engine. It goes with the machine's next boot, as do the things it names.
type state struct {
	Home string `json:"home"`
	// Owner is the id of Home, whatever it is called by now.
	Owner      string `json:"owner,omitempty"`
	Pool       string `json:"pool"`
	Containerd int    `json:"containerd,omitempty"`
	Dockerd    int    `json:"dockerd,omitempty"`
	// Made are directories outside RunDir and Home that the daemons make although they are told where to live, and
	// that were not there before. They are removed if they are empty.
	Made []string `json:"made,omitempty"`
}

// strays are the directories that may end up in state.Made: dockerd's legacy plugin directory and containerd's shim
// sockets have fixed places.
var strays = []string{"/run/containerd/s", "/run/containerd", "/run/docker/plugins", "/run/docker"}

func (o Options) stateFile() string { return filepath.Join(o.RunDir, "state.json") }

func (o Options) readState() (state, error) {
	var s state
	data, err := os.ReadFile(o.stateFile())
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", o.stateFile(), err)
	}
	return s, nil
}

func (o Options) writeState(s state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode engine state: %w", err)
	}
	if err := atomicfile.Write(o.stateFile(), data, 0o644); err != nil {
		return fmt.Errorf("write engine state: %w", err)
	}
	return nil
}

// anothers says whether another owner than Home's has started the engine and still has its data.
func (o Options) anothers(s state) bool {
	if s.Home == "" || s.Home == o.Home || s.Owner != "" && s.Owner == settings.OwnerOf(o.Home) {
		return false
	}
	return len(absent([]string{filepath.Join(s.Home, "engine", "data")})) == 0
}

// errNoAnswer is when both daemons live but the engine does not answer.
var errNoAnswer = errors.New("alive, but does not answer")

// missing says why a daemon is not known to be there. unreadable is why its environment, which has the mark, cannot be read.
func missing(name string, pid int, command string, unreadable error) error {
	if command == name && errors.Is(unreadable, os.ErrPermission) {
		return fmt.Errorf("its %s (pid %d) is another user's, and only root may use it (next: run the command again as root; sudo -E keeps the environment)", name, pid)
	}
	return fmt.Errorf("its %s (pid %d) is gone (next: `go tool mage cluster` starts it anew, as root)", name, pid)
}

// running returns the private engine if it is whole: both daemons are ours and alive, the data is there, the socket
// answers.
func running(ctx context.Context, o Options) (*Engine, state, error) {
	s, err := o.readState()
	if errors.Is(err, os.ErrNotExist) {
		return nil, s, fmt.Errorf("private docker engine %s does not run (next: `go tool mage cluster` starts it, as root)", o.privateHost())
	} else if err != nil {
		return nil, s, err
	}
	for name, pid := range map[string]int{"containerd": s.Containerd, "dockerd": s.Dockerd} {
		if !isOurs(pid, o.RunDir, name) {
			_, unreadable := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			return nil, s, fmt.Errorf("private docker engine %s: %w", o.privateHost(), missing(name, pid, commandOf(pid), unreadable))
		}
	}
	if _, err := os.Stat(filepath.Join(s.Home, "engine", "data")); err != nil {
		return nil, s, fmt.Errorf("private docker engine %s: its data is gone: %w", o.privateHost(), err)
	}
	e := &Engine{
		Host: o.privateHost(), Private: true, explicit: true,
		options: []client.Opt{client.WithUserAgent("cedana-e2e"), client.WithHost(o.privateHost())},
	}
	if _, err := e.identify(ctx); err != nil {
		return nil, s, fmt.Errorf("%w: ask private docker engine %s: %w", errNoAnswer, e.Host, err)
	}
	return e, s, nil
}

func findPrivate(ctx context.Context, o Options) (*Engine, error) {
	e, _, err := running(ctx, o)
	return e, err
}

func ensurePrivate(ctx context.Context, o Options) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root, and this is not root: run the command again as root (sudo -E keeps the environment)")
	}
	if len(o.RunDir) > maxRunDir {
		return nil, fmt.Errorf("run directory %s: sockets in it would have too long a path; at most %d bytes", o.RunDir, maxRunDir)
	}
	e, s, err := running(ctx, o)
	if err != nil {
		if e, s, err = startPrivate(ctx, o); err != nil {
			return nil, err
		}
	}
	// A firewall that was reloaded meanwhile has lost the rules.
	pool, err := netip.ParsePrefix(s.Pool)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.stateFile(), err)
	}
	if err := admit(ctx, o, pool); err != nil {
		return nil, err
	}
	a, err := tryOnce(ctx, o, e)
	if err != nil {
		return nil, err
	}
	e.MissingCapabilities = a.MissingCapabilities
	return e, nil
}

// patientlyRunning is running, but gives an engine time that lives and does not answer.
func patientlyRunning(ctx context.Context, o Options) (*Engine, state, error) {
	deadline := time.Now().Add(stretch.Limit(slowTimeout))
	for {
		e, s, err := running(ctx, o)
		if err == nil || !errors.Is(err, errNoAnswer) || ctx.Err() != nil || time.Now().After(deadline) {
			return e, s, err
		}
		o.Progress.Step("%v", err)
		if err := sleep(ctx, time.Second); err != nil {
			return nil, s, err
		}
	}
}

// startPrivate starts the engine under the lock, so that of two commands one starts it and the other finds it.
func startPrivate(ctx context.Context, o Options) (_ *Engine, s state, err error) {
	unlock, err := filelock.Lock(ctx, o.Progress, o.RunDir+".lock", "starts the private engine")
	if err != nil {
		return nil, s, err
	}
	defer unlock()
	if e, s, err := patientlyRunning(ctx, o); err == nil {
		return e, s, nil
	}
	if ctx.Err() != nil {
		return nil, s, ctx.Err()
	}
	old, _ := o.readState()
	if living, err := lives(o); err != nil || living && o.anothers(old) {
		return nil, s, errors.Join(err, fmt.Errorf("the engine at %s does not answer, and another owner has started it (E2E_HOME=%s): "+
			"it is left as it is (next: `E2E_HOME=%[2]s ENGINE=1 go tool mage clean`)", o.privateHost(), old.Home))
	}
	if err := settings.KeepOwner(o.Home); err != nil {
		return nil, s, err
	}
	programs, err := ensureInstalled(ctx, o)
	if err != nil {
		return nil, s, err
	}
	if err := os.MkdirAll(o.dir("data"), 0o711); err != nil {
		return nil, s, fmt.Errorf("make the engine's directory: %w", err)
	}
	if err := checkSpace(o); err != nil {
		return nil, s, err
	}
	// What a power cut or a kill left behind; nothing in the usual case.
	left, err := endEngine(ctx, o, old, deadPatience)
	if err != nil {
		return nil, s, fmt.Errorf("clear what a dead private engine left: %w", err)
	}
	if len(left) > 0 {
		o.Progress.Step("cleared what a dead private docker engine left: %s", strings.Join(left, ", "))
	}

	pool, err := choosePool(o)
	if err != nil {
		return nil, s, err
	}
	if err := rememberPool(o, pool); err != nil {
		return nil, s, err
	}
	s = state{Home: o.Home, Owner: settings.OwnerOf(o.Home), Pool: pool.String(), Made: absent(strays)}
	if err := o.writeState(s); err != nil {
		return nil, s, err
	}
	defer func() {
		if err == nil {
			return
		}
		// What was started is of no use to anyone. The logs stay.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if _, removeErr := endEngine(ctx, o, s, deadPatience); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("clear what was started: %w", removeErr))
		}
		if rmErr := removeRunDir(o); rmErr != nil {
			err = errors.Join(err, rmErr)
		}
	}()
	o.Progress.Step("starting a private docker engine at %s (networks %s, data %s)", o.privateHost(), pool, o.dir("data"))
	started := time.Now()
	if err := ensureBridge(instance(o.RunDir), pool); err != nil {
		return nil, s, err
	}
	if _, err := removeRules(ctx, instance(o.RunDir)); err != nil {
		return nil, s, err
	}
	if err := admit(ctx, o, pool); err != nil {
		return nil, s, err
	}
	if err := startDaemons(ctx, o, programs, pool, &s); err != nil {
		return nil, s, err
	}
	e, s, err := running(ctx, o)
	if err != nil {
		return nil, s, err
	}
	o.Progress.Step("private docker engine %s (%s) runs after %s", e.Host, e.Version, time.Since(started).Round(10*time.Millisecond))
	// Before the lock is let go, so that whoever waits for it need not try again.
	if _, err := tryOnce(ctx, o, e); err != nil {
		return nil, s, err
	}
	return e, s, nil
}

// startDaemons starts containerd, then dockerd, and waits until each answers.
//
// dockerd is not left to start containerd by itself: where the system's containerd runs, it would use that one, whose
// containers are another engine's.
func startDaemons(ctx context.Context, o Options, programs programs, pool netip.Prefix, s *state) error {
	address := filepath.Join(o.RunDir, "containerd", "containerd.sock")
	if err := atomicfile.Write(o.dir("containerd.toml"), containerdConfig(o, address), 0o644); err != nil {
		return fmt.Errorf("configure containerd: %w", err)
	}
	containerd, err := launch(o, "containerd", programs.containerd, "--config", o.dir("containerd.toml"))
	if err != nil {
		return err
	}
	s.Containerd = containerd.pid
	if err := o.writeState(*s); err != nil {
		return err
	}
	if err := containerd.wait(ctx, o, stretch.Limit(containerdTimeout), func(context.Context) error { return dial(address) }); err != nil {
		return err
	}

	config, err := dockerdConfig(ctx, o, address, pool)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(o.dir("daemon.json"), config, 0o644); err != nil {
		return fmt.Errorf("configure dockerd: %w", err)
	}
	// A stale pid file can name a living process that has nothing to do with Docker; dockerd would not start. Here,
	// under the lock and after what was there is removed, it cannot be a living dockerd's.
	if err := os.Remove(filepath.Join(o.RunDir, "docker.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale pid file: %w", err)
	}
	dockerd, err := launch(o, "dockerd", programs.dockerd, "--config-file", o.dir("daemon.json"))
	if err != nil {
		return err
	}
	s.Dockerd = dockerd.pid
	if err := o.writeState(*s); err != nil {
		return err
	}
	c, err := client.NewClientWithOpts(client.WithHost(o.privateHost()), client.WithAPIVersionNegotiation())
	if err != nil {
		return fmt.Errorf("make client of %s: %w", o.privateHost(), err)
	}
	defer c.Close()
	return dockerd.wait(ctx, o, stretch.Limit(dockerdTimeout), func(ctx context.Context) error { _, err := c.Ping(ctx); return err })
}

// containerdConfig keeps everything of containerd in the engine's own directories. Format version 2 is understood
// from containerd 1.3 on, 2.x included.
func containerdConfig(o Options, address string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "version = 2\nroot = %q\nstate = %q\n", o.dir("containerd"), filepath.Dir(address))
	// The CRI is for a kubelet on this host; NRI would listen at a fixed address.
	b.WriteString(`disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "io.containerd.nri.v1.nri"]` + "\n")
	fmt.Fprintf(&b, "[grpc]\n  address = %q\n", address)
	// Otherwise it makes /opt/containerd.
	fmt.Fprintf(&b, "[plugins.\"io.containerd.internal.v1.opt\"]\n  path = %q\n", o.dir("containerd", "opt"))
	return b.Bytes()
}

// dockerdConfig is everything dockerd is told; /etc/docker/daemon.json is the system engine's and is not read.
func dockerdConfig(ctx context.Context, o Options, containerd string, pool netip.Prefix) ([]byte, error) {
	_, networks := split(pool)
	config := map[string]any{
		"hosts":      []string{o.privateHost()},
		"data-root":  o.dir("data"),
		"exec-root":  filepath.Join(o.RunDir, "exec"),
		"pidfile":    filepath.Join(o.RunDir, "docker.pid"),
		"containerd": containerd,
		"group":      "root", // the socket is for root alone, not for a group that was let into another engine
		// 20.10 writes it to /etc/docker; later ones ignore the setting.
		"deprecated-key-path": o.dir("key.json"),

		// The network is as it must be beside another engine, even where none runs: one may be started later. With
		// iptables on, two engines rewrite each other's chains, and with "bridge": "none" dockerd deletes docker0.
		// So the bridge is ours, made by us, and the firewall rules are in chains of our own; see ensureRules.
		"bridge":                instance(o.RunDir),
		"default-address-pools": []map[string]any{{"base": networks.String(), "size": 24}},
		// With address pools, a starting dockerd deletes docker0, whoever's it is, unless live-restore is on (moby,
		// daemon_unix.go, initNetworkController: removeDefaultBridgeInterface; 20.10 to 28).
		"live-restore": true,
		"iptables":     false,
		"ip6tables":    false,
		"ip-masq":      false,

		// The driver that works with and without systemd, and a parent of our own, by which everything that ever ran
		// in a container is found.
		"exec-opts":     []string{"native.cgroupdriver=cgroupfs"},
		"cgroup-parent": "/" + instance(o.RunDir),
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("read the limit of open files: %w", err)
	}
	// Nodes get what a system's engine gives them, not what the caller's shell happens to have.
	files := min(limit.Max, 1<<20)
	config["default-ulimits"] = map[string]any{"nofile": map[string]any{"Name": "nofile", "Hard": files, "Soft": files}}

	missing, err := capabilities.OfHost()
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		filter, err := build(ctx, o, "capfilter", capfilterSource, hostArch)
		if err != nil {
			return nil, err
		}
		o.Progress.Step("this host lacks %s: the private engine's containers do without", strings.Join(missing, ", "))
		config["runtimes"] = map[string]any{"capfilter": map[string]any{"path": filter}}
		config["default-runtime"] = "capfilter"
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("configure dockerd: %w", err)
	}
	return data, nil
}

func checkSpace(o Options) error {
	free, err := freeSpace(o.dir())
	if err != nil {
		return err
	}
	if free < minFree {
		return fmt.Errorf("disk full: %s free at %s, at least %s needed: make room, or set E2E_HOME to a directory on another disk", bytesText(free), o.dir(), bytesText(minFree))
	}
	return nil
}

// freeSpace is what root may still write there, or where the path will be.
func freeSpace(path string) (uint64, error) {
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(path, &fs)
		if err == nil {
			return fs.Bavail * uint64(fs.Bsize), nil
		}
		if !errors.Is(err, os.ErrNotExist) || path == "/" {
			return 0, fmt.Errorf("read free space at %s: %w", path, err)
		}
		path = filepath.Dir(path)
	}
}

func absent(paths []string) []string {
	var missing []string
	for _, path := range paths {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, path)
		}
	}
	return missing
}
