package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

// packages of every node.
var packages = []string{
	// What Debian calls essential, as far as a node's scripts use it: no package says that it depends on these.
	"base-files", "base-passwd", "bash", "coreutils", "debianutils", "diffutils", "findutils", "grep", "gzip", "hostname",
	"libc-bin", "mawk", "sed", "util-linux",

	"ca-certificates", "conntrack", "containernetworking-plugins", "criu", "iproute2", "iptables", "jq", "kmod", "mount",
	"procps", "runc", "socat", "tar",
	"liblzma5", // kmod loads it when a module of the host is compressed with it
}

// sourcePackages are what a node has beside them whose Kubernetes is compiled: k3s brings its own. Debian compiles them
// of the same sources, and to do that here would be a tenth of a first run. etcd's other two are what it takes to make
// do without systemd.
var sourcePackages = []string{"containerd", "etcd-server", "kubectl", "systemd-standalone-sysusers", "systemd-standalone-tmpfiles"}

// packagesOf are the packages of a flavour's base.
func packagesOf(flavour Flavour) []string {
	if flavour == Source {
		return append(slices.Clone(packages), sourcePackages...)
	}
	return packages
}

// baseRecipe is raised when what is done to the packages' files changes.
const baseRecipe = 4

// base is the node's lowest layer: Debian.
type base struct {
	// Path of the layer's tar archive.
	Path string
	baseInfo
}

// baseInfo is kept beside the archive, so that nobody has to read 150 MB to know what is in them.
type baseInfo struct {
	// Versions of what matters, by program.
	Versions map[string]string `json:"versions"`
	// SHA256 of the archive, hexadecimal: a base that was made anew has newer packages.
	SHA256 string `json:"sha256"`
}

const (
	layerFile = "layer.tar"
	infoFile  = "info.json"
)

func baseKey(flavour Flavour) (string, error) {
	return image.NewInputs("node base", baseRecipe).Text("suite", debian.Suite).Text("packages", packagesOf(flavour)...).
		Text("plugins", plugins...).Key()
}

// ensureBase returns the base layer of a flavour, made of Debian's packages unless it is there. That takes half a minute
// and a Debian mirror.
func ensureBase(ctx context.Context, store *image.Store, flavour Flavour, mirror string) (base, error) {
	key, err := baseKey(flavour)
	if err != nil {
		return base{}, err
	}
	dir, err := store.File(ctx, "base", key, "", func(ctx context.Context, dir string) error {
		return makeBase(ctx, store, flavour, mirror, dir)
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
	return errors.Join(fillBase(ctx, store, flavour, mirror, scratch, dir), remove())
}

func fillBase(ctx context.Context, store *image.Store, flavour Flavour, mirror, scratch, dir string) error {
	got, err := debian.Get(ctx, store.Progress(), debian.Source{Mirror: mirror, Home: store.Home()}, filepath.Join(scratch, "packages"),
		debian.Selection{Packages: packagesOf(flavour), Dependencies: true})
	if err != nil {
		return err
	}
	versions, err := checkVersions(got, requiredOf(flavour))
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(dir, layerFile)
	sum, err := writeBase(ctx, archive, got)
	if err != nil {
		return err
	}
	content, err := json.Marshal(baseInfo{Versions: versions, SHA256: sum})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, infoFile), content, 0o644)
}

// writeBase writes the packages' files to a layer's archive, and returns the hash of it.
func writeBase(ctx context.Context, path string, packages []debian.Package) (sha string, err error) {
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	sum := sha256.New()
	if err := assemble(ctx, io.MultiWriter(file, sum), packages); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
