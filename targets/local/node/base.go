package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/image"
)

// suite is the Debian release of the node: the first with CRIU 4.2. By its code name, so that it stays the same
// release when it is no longer Debian's testing.
const suite = "forky"

// script is what debootstrap does for a suite. Debian 12's does not know forky yet; for every release since 2005 it
// is the one of sid.
const script = "sid"

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// packages of the node beside the essential ones.
var packages = []string{
	"bash", "ca-certificates", "conntrack", "containernetworking-plugins", "criu", "iproute2", "iptables", "jq",
	"kmod", "mount", "procps", "runc", "socat", "tar",
}

// baseRecipe is raised when what is done to the packages' files changes.
const baseRecipe = 1

// required versions: CRIU before 4.2 cannot dump programs with sockets on Linux 6.18 (`Can't get 1:34 opt:
// Operation not supported`), runc before 1.2 refuses `--manage-cgroups-mode ignore`. Both were tried.
var required = []requirement{
	{command: "criu", major: 4, minor: 2, reason: "older ones cannot dump programs with sockets on current kernels"},
	{command: "runc", major: 1, minor: 2, reason: "older ones refuse --manage-cgroups-mode ignore"},
}

// base is the node's lowest layer: Debian.
type base struct {
	// Path of the layer's tar archive.
	Path string
	baseInfo
}

// baseInfo is kept beside the archive, so that nobody has to read 150 MB to know what is in them.
type baseInfo struct {
	// Versions of what matters, by command.
	Versions map[string]string `json:"versions"`
	// ID changes when the layer's content does: a base that was made anew has newer packages.
	ID string `json:"id"`
}

const (
	layerFile = "layer.tar"
	infoFile  = "info.json"
)

func baseKey() (string, error) {
	return image.NewInputs("node base", baseRecipe).Text("suite", suite).Text("packages", packages...).Key()
}

// ensureBase returns the base layer, made with debootstrap unless it is there. That takes half a minute, root, and
// a Debian mirror.
func ensureBase(ctx context.Context, store *image.Store, mirror string) (base, error) {
	key, err := baseKey()
	if err != nil {
		return base{}, err
	}
	dir, err := store.File(ctx, "base", key, "", func(ctx context.Context, dir string) error {
		return makeBase(ctx, store, mirror, dir)
	})
	if err != nil {
		return base{}, fmt.Errorf("make the node's Debian %s base: %w", suite, err)
	}
	content, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err != nil {
		return base{}, fmt.Errorf("read what is in the node's base: %w", err)
	}
	b := base{Path: filepath.Join(dir, layerFile)}
	if err := json.Unmarshal(content, &b.baseInfo); err != nil {
		return base{}, fmt.Errorf("parse %s: %w; remove %s and run again", infoFile, err, dir)
	}
	return b, nil
}

func makeBase(ctx context.Context, store *image.Store, mirror, dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("debootstrap needs root; run this command once with sudo -E (what it makes is cached)")
	}
	if err := installDebootstrap(ctx, store.Progress()); err != nil {
		return err
	}
	if mirror == "" {
		var err error
		if mirror, err = Mirror(os.DirFS("/etc")); err != nil {
			return err
		}
	}
	root, remove, err := store.Scratch("base")
	if err != nil {
		return err
	}
	return errors.Join(fillBase(ctx, store.Progress(), mirror, root, dir), remove())
}

func fillBase(ctx context.Context, progress image.Progress, mirror, root, dir string) error {
	progress.Step("install Debian %s from %s for the node (%d packages and what they need)", suite, mirror, len(packages))
	if err := debootstrap(ctx, progress, mirror, root); err != nil {
		return err
	}
	versions, err := checkVersions(ctx, root, required)
	if err != nil {
		return err
	}
	// Dash as /bin/sh kills k3d's entry point: it does `trap ... SIGTERM`, which dash does not know.
	sh := filepath.Join(root, "usr/bin/sh")
	if err := errors.Join(os.Remove(sh), os.Symlink("bash", sh)); err != nil {
		return fmt.Errorf("make bash the node's /bin/sh: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(dir, layerFile)
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	if err := errors.Join(image.ArchiveRoot(file, root, dropped), file.Close()); err != nil {
		return err
	}
	id, err := image.NewInputs("node base content", baseRecipe).File("archive", archive).Key()
	if err != nil {
		return err
	}
	content, err := json.Marshal(baseInfo{Versions: versions, ID: id})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, infoFile), content, 0o644)
}

// debootstrap runs in a mount namespace of its own: whatever it mounts is gone with it, even when it is killed, so
// that removing the directory never reaches through a mount.
func debootstrap(ctx context.Context, progress image.Progress, mirror, root string) error {
	cmd := exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--keyring="+keyring,
		"--include="+strings.Join(packages, ","), suite, root, mirror, script)
	// Nothing here needs to survive a power cut half-way, so dpkg need not sync every file.
	cmd.Env = append(os.Environ(), "DPKG_FORCE=unsafe-io", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	output := &lastLines{keep: 25}
	cmd.Stdout, cmd.Stderr = output, output
	stop := image.Watch(progress, func(elapsed time.Duration) string {
		return fmt.Sprintf("install Debian %s (%s): %s", suite, elapsed, strings.TrimPrefix(output.last(), "I: "))
	})
	err := cmd.Run()
	stop()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	hint := ""
	if text := output.text(); strings.Contains(text, "unknown key") || strings.Contains(text, "NO_PUBKEY") || strings.Contains(text, "Invalid Release signature") {
		hint = "\nthis host's debian-archive-keyring is older than the release: upgrade it with apt-get install --only-upgrade debian-archive-keyring"
	}
	// A failing package's own words are not on debootstrap's output but in this file.
	log, _ := os.ReadFile(filepath.Join(root, "debootstrap/debootstrap.log"))
	if lines := strings.Split(strings.TrimSpace(string(log)), "\n"); len(log) > 0 {
		hint += "\ndebootstrap.log: ..." + strings.Join(lines[max(0, len(lines)-15):], "\n")
	}
	return fmt.Errorf("debootstrap %s from %s: %w\n%s%s", suite, mirror, err, output.text(), hint)
}

// installDebootstrap gets debootstrap and Debian's keys from the host's distribution where they are missing.
func installDebootstrap(ctx context.Context, progress image.Progress) error {
	var missing []string
	if _, err := exec.LookPath("debootstrap"); err != nil {
		missing = append(missing, "debootstrap")
	}
	if _, err := os.Stat(keyring); err != nil {
		missing = append(missing, "debian-archive-keyring")
	}
	if len(missing) == 0 {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("%s missing and this host has no apt-get: install it with the host's package manager", strings.Join(missing, " and "))
	}
	progress.Step("install %s", strings.Join(missing, " and "))
	var tries []error
	// The lists may be absent or old: only then is updating them worth the time.
	for _, update := range []bool{false, true} {
		if update {
			if err := run(ctx, progress, apt, "update", "-q"); err != nil {
				return errors.Join(append(tries, err)...)
			}
		}
		err := run(ctx, progress, apt, append([]string{"install", "-q", "-y", "--no-install-recommends"}, missing...)...)
		if err == nil {
			return nil
		}
		tries = append(tries, err)
	}
	return errors.Join(tries...)
}

func run(ctx context.Context, progress image.Progress, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	output := &lastLines{keep: 25}
	cmd.Stdout, cmd.Stderr = output, output
	what := filepath.Base(name) + " " + strings.Join(args, " ")
	stop := image.Watch(progress, func(elapsed time.Duration) string {
		return fmt.Sprintf("%s (%s): %s", what, elapsed, output.last())
	})
	defer stop()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, output.text())
	}
	return nil
}

// dropped says what of a Debian installation a node has no use for. Size is load time.
func dropped(path string) bool {
	for _, dir := range []string{
		"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug",
		"usr/share/bash-completion", "usr/share/zsh", "usr/share/fish", "usr/share/gcc",
	} {
		if path == dir {
			return true
		}
	}
	dir, name := filepath.Split(path)
	switch dir {
	case "var/cache/", "var/log/", "var/lib/apt/lists/", "debootstrap/", "dev/", "proc/", "sys/", "run/", "tmp/":
		return true
	case "usr/lib/cni/": // 70 MB, of which a node uses these
		switch name {
		case "bridge", "firewall", "host-local", "loopback", "portmap":
			return false
		}
		return true
	}
	switch path {
	case "debootstrap", "etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc/hosts", ".dockerenv":
		return true // the host's, or the engine's to make
	}
	return name == "gconv" && strings.HasPrefix(dir, "usr/lib/") // character sets
}

// requirement is a command that the node must have in at least a version.
type requirement struct {
	command      string
	major, minor int
	reason       string
}

var versionNumber = regexp.MustCompile(`(\d+)\.(\d+)(\.\d+)?`)

// checkVersions runs each command in the root file system and returns its version.
func checkVersions(ctx context.Context, root string, requirements []requirement) (map[string]string, error) {
	versions := map[string]string{}
	for _, r := range requirements {
		cmd := exec.CommandContext(ctx, "/usr/bin/env", r.command, "--version")
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("ask the node's %s for its version: %w\n%s", r.command, err, out)
		}
		version, err := r.check(string(out))
		if err != nil {
			return nil, err
		}
		versions[r.command] = version
	}
	return versions, nil
}

// check finds the version in what the command printed.
func (r requirement) check(output string) (string, error) {
	match := versionNumber.FindStringSubmatch(output)
	if match == nil {
		return "", fmt.Errorf("find the version of %s in %q", r.command, output)
	}
	major, _ := strconv.Atoi(match[1])
	minor, _ := strconv.Atoi(match[2])
	if major < r.major || major == r.major && minor < r.minor {
		return "", fmt.Errorf("debian %s has %s %s, but %d.%d or newer is needed: %s", suite, r.command, match[0], r.major, r.minor, r.reason)
	}
	return match[0], nil
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// lastLines keeps the end of a program's output.
type lastLines struct {
	mu    sync.Mutex
	keep  int
	lines []string
	rest  string
}

func (l *lastLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bufio.NewScanner(io.MultiReader(strings.NewReader(l.rest), strings.NewReader(string(b))))
	l.rest = ""
	for lines.Scan() {
		l.lines = append(l.lines, lines.Text())
	}
	if len(b) > 0 && b[len(b)-1] != '\n' && len(l.lines) > 0 {
		l.rest = l.lines[len(l.lines)-1]
		l.lines = l.lines[:len(l.lines)-1]
	}
	l.lines = l.lines[max(0, len(l.lines)-l.keep):]
	return len(b), nil
}

func (l *lastLines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return l.rest
	}
	return l.lines[len(l.lines)-1]
}

func (l *lastLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(strings.Join(append(l.lines, l.rest), "\n"))
}
