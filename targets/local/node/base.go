package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

// packages of every node beside the essential ones.
var packages = []string{
	"bash", "ca-certificates", "conntrack", "containernetworking-plugins", "criu", "iproute2", "iptables", "jq",
	"kmod", "mount", "procps", "runc", "socat", "tar",
}

// sourcePackages are what a node has beside them whose Kubernetes is compiled: k3s brings its own. Debian compiles them
// of the same sources, and to do that here would be a tenth of a first run. etcd's other two are what it takes to make
// do without systemd.
var sourcePackages = []string{"containerd", "etcd-server", "systemd-standalone-sysusers", "systemd-standalone-tmpfiles"}

// packagesOf are the packages of a flavour's base.
func packagesOf(flavour Flavour) []string {
	if flavour == Source {
		return append(slices.Clone(packages), sourcePackages...)
	}
	return packages
}

// plugins of containernetworking-plugins that a node uses, of 70 MB of them. (k3s brings its own.)
var plugins = []string{"firewall", "host-local", "loopback", "portmap", "ptp"}

// baseRecipe is raised when what is done to the packages' files changes.
const baseRecipe = 2

// required versions: CRIU before 4.2 cannot dump programs with sockets on Linux 6.18 (`Can't get 1:34 opt:
// Operation not supported`), runc before 1.2 refuses `--manage-cgroups-mode ignore`. Both were tried.
var required = []requirement{
	{command: "criu", major: 4, minor: 2, reason: "older ones cannot dump programs with sockets on current kernels"},
	{command: "runc", major: 1, minor: 2, reason: "older ones refuse --manage-cgroups-mode ignore"},
}

// sourceRequired are those of sourcePackages.
var sourceRequired = []requirement{
	{command: "containerd", major: 2, minor: 1, sameMajor: true, reason: "k3s of the same Kubernetes has containerd 2.1, with version 3 of its configuration"},
	{command: "etcd", major: 3, minor: 5, sameMajor: true, reason: "Kubernetes 1.34 wants it"},
}

func requiredOf(flavour Flavour) []requirement {
	if flavour == Source {
		return append(slices.Clone(required), sourceRequired...)
	}
	return required
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

func baseKey(flavour Flavour) (string, error) {
	return image.NewInputs("node base", baseRecipe).Text("suite", debian.Suite).Text("packages", packagesOf(flavour)...).
		Text("plugins", plugins...).Key()
}

// ensureBase returns the base layer of a flavour, made with mmdebstrap unless it is there. That takes half a minute,
// root (or sudo without a password), and a Debian mirror.
func ensureBase(ctx context.Context, store *image.Store, flavour Flavour, mirror string) (base, error) {
	key, err := baseKey(flavour)
	if err != nil {
		return base{}, err
	}
	dir, err := store.File(ctx, "base", key, "", func(ctx context.Context, dir string) error {
		return baseMaker(ctx, store, flavour, mirror, dir)
	})
	if err != nil {
		return base{}, fmt.Errorf("make the node's Debian %s base: %w", debian.Suite, err)
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

func makeBase(ctx context.Context, store *image.Store, flavour Flavour, mirror, dir string) error {
	scratch, remove, err := store.Scratch("base")
	if err != nil {
		return err
	}
	return errors.Join(fillBase(ctx, store.Progress(), flavour, mirror, scratch, dir), remove())
}

func fillBase(ctx context.Context, progress console.Progress, flavour Flavour, mirror, scratch, dir string) error {
	root, err := debian.Bootstrap(ctx, progress, mirror, scratch, packagesOf(flavour))
	if err != nil {
		return err
	}
	versions, err := checkVersions(ctx, root, requiredOf(flavour))
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
	case "var/cache/", "var/log/", "var/lib/apt/lists/", "dev/", "proc/", "sys/", "run/", "tmp/":
		return true
	case "usr/lib/cni/":
		return !slices.Contains(plugins, name)
	}
	switch path {
	case "etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc/hosts", ".dockerenv":
		return true // the host's, or the engine's to make
	case debian.AptSettings:
		return true // the host's, and maybe a secret
	case "usr/bin/containerd-stress", "usr/bin/etcdutl":
		return true // programs of 20 MB each that nobody calls
	}
	return name == "gconv" && strings.HasPrefix(dir, "usr/lib/") // character sets
}

// requirement is a command that the node must have in at least a version.
type requirement struct {
	command      string
	major, minor int
	// sameMajor says that a newer major version will not do either.
	sameMajor bool
	reason    string
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
		return "", fmt.Errorf("debian %s has %s %s, but %d.%d or newer is needed: %s", debian.Suite, r.command, match[0], r.major, r.minor, r.reason)
	}
	if r.sameMajor && major > r.major {
		return "", fmt.Errorf("debian %s has %s %s, but major version %d is needed: %s", debian.Suite, r.command, match[0], r.major, r.reason)
	}
	return match[0], nil
}
