package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/modfile"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/local/image"
)

// sourceName is the image's name in the cache.
const sourceName = "node-source"

// Directories in the repository.
const (
	kubernetesModule = "targets/local/node/kubernetes"
	containerdModule = "targets/local/node/containerd"
	sourceRootfs     = "targets/local/node/rootfs"
)

// sourceRecipe is raised when the way that the parts are put together changes.
const sourceRecipe = 1

func buildSource(ctx context.Context, store *image.Store, mirror string) (image.Tarball, Image, error) {
	root, err := image.RepositoryRoot()
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	programs, versions, err := sourcePrograms(root)
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	var debian base
	var pauseTar, pauseKey string
	binaries := make([]image.Binary, len(programs))
	// Packages come over the network and go to disk while the compiler has the processors. Two compilers at once
	// would only get in each other's way, and linking Kubernetes takes gigabytes.
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() (err error) {
		debian, err = ensureBase(workCtx, store, mirror)
		return err
	})
	work.Go(func() (err error) {
		if pauseTar, pauseKey, err = pause(workCtx, store); err != nil {
			return err
		}
		for i, p := range programs {
			if binaries[i], err = store.Program(workCtx, p.Program); err != nil {
				return err
			}
		}
		return nil
	})
	if err := work.Wait(); err != nil {
		return image.Tarball{}, Image{}, err
	}

	rootfs := filepath.Join(root, sourceRootfs)
	inputs := image.NewInputs(sourceName, sourceRecipe).Text("base", debian.ID).Text("pause", pauseKey).Tree("rootfs", rootfs)
	for i, binary := range binaries {
		inputs.Text("program", programs[i].path, binary.Key).Text("links", programs[i].links...)
	}
	key, err := inputs.Key()
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	node, err := store.Image(ctx, sourceName, key, func(context.Context) (v1.Image, error) {
		entries, err := overlay(rootfs)
		if err != nil {
			return nil, err
		}
		for i, p := range programs {
			entries = append(entries, image.File(p.path, binaries[i].Path, 0o755))
			for _, link := range p.links {
				entries = append(entries, image.Link(link, filepath.Base(p.path)))
			}
		}
		return compose(debian, append(entries, image.File(pauseTarball, pauseTar, 0o644)), config())
	})
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	maps.Copy(versions, debian.Versions)
	return node, Image{Flavour: Source, Versions: versions}, nil
}

// compose puts a node together: Debian below, everything else in one layer above.
func compose(debian base, entries []image.Entry, config v1.Config) (v1.Image, error) {
	lower, err := image.LayerFile(debian.Path)
	if err != nil {
		return nil, err
	}
	upper, err := image.Layer(entries...)
	if err != nil {
		return nil, err
	}
	return image.Compose(config, lower, upper)
}

// nodeProgram is a program with its place on the node.
type nodeProgram struct {
	image.Program
	path string
	// links beside it, by which it is called as well.
	links []string
}

// sourcePrograms are the programs that are compiled, and their versions.
func sourcePrograms(root string) ([]nodeProgram, map[string]string, error) {
	kubernetes, err := requiredVersion(root, kubernetesModule, "k8s.io/kubernetes")
	if err != nil {
		return nil, nil, err
	}
	containerd, err := requiredVersion(root, containerdModule, "github.com/containerd/containerd/v2")
	if err != nil {
		return nil, nil, err
	}
	var programs []nodeProgram
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		programs = append(programs, nodeProgram{
			Program: image.Program{
				Name: name, Module: containerdModule, Package: "github.com/containerd/containerd/v2/cmd/" + name,
				Ldflags: "-X github.com/containerd/containerd/v2/version.Version=" + containerd,
			},
			path: "usr/bin/" + name,
		})
	}
	programs = append(programs, nodeProgram{
		Program: image.Program{Name: "kubernetes", Module: kubernetesModule, Package: ".", Ldflags: kubernetesVersion(kubernetes)},
		path:    "usr/bin/k3s",
		links:   []string{"usr/bin/kubectl"},
	})
	return programs, map[string]string{"kubernetes": kubernetes, "containerd": containerd}, nil
}

// kubernetesVersion is what tells the programs their version. Upstream's build sets the same variables
// (hack/lib/version.sh in k8s.io/kubernetes); without it every client sees v0.0.0-master.
func kubernetesVersion(version string) string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range []string{"gitVersion=" + version, "gitMajor=" + major, "gitMinor=" + minor} {
			flags = append(flags, "-X "+pkg+"."+set)
		}
	}
	return strings.Join(flags, " ")
}

// requiredVersion is the version of a module that the go.mod in dir asks for.
func requiredVersion(root, dir, module string) (string, error) {
	file := filepath.Join(root, dir, "go.mod")
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("find the version of %s: %w", module, err)
	}
	parsed, err := modfile.ParseLax(file, content, nil)
	if err != nil {
		return "", fmt.Errorf("find the version of %s: %w", module, err)
	}
	i := slices.IndexFunc(parsed.Require, func(r *modfile.Require) bool { return r.Mod.Path == module })
	if i < 0 {
		return "", fmt.Errorf("find the version of %s: %s does not require it", module, file)
	}
	return parsed.Require[i].Mod.Version, nil
}
