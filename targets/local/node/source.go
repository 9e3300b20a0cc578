package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/modfile"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/gobuild"
	"github.com/cedana/cedana-e2e/targets/local/image"
)

// sourceName is the image's name in the cache.
const sourceName = "node-source"

// Directories in the repository.
const (
	kubernetesModule = "targets/local/node/kubernetes"
	containerdModule = "targets/local/node/containerd"
)

// sourceRecipe is raised when the way that the parts are put together changes.
const sourceRecipe = 1

func buildSource(ctx context.Context, store *image.Store, mirror string) (image.Tarball, Image, error) {
	root, err := gobuild.Root()
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
	// Packages and modules come over the network and go to disk while the compiler has the processors: the store
	// compiles one program after another.
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() (err error) {
		debian, err = ensureBase(workCtx, store, mirror)
		return err
	})
	work.Go(func() (err error) {
		pauseTar, pauseKey, err = pause(workCtx, store)
		return err
	})
	for i, p := range programs {
		work.Go(func() (err error) {
			binaries[i], err = store.Program(workCtx, p.Program)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return image.Tarball{}, Image{}, err
	}

	inputs := image.NewInputs(sourceName, sourceRecipe).Text("base", debian.ID).Text("pause", pauseKey).
		Tree("rootfs", filepath.Join(root, rootfs))
	for i, binary := range binaries {
		inputs.Text("program", programs[i].path, binary.Key).Text("links", programs[i].links...)
	}
	key, err := inputs.Key()
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	node, err := store.Image(ctx, sourceName, key, func(context.Context) (v1.Image, error) {
		entries, err := overlay(filepath.Join(root, rootfs))
		if err != nil {
			return nil, err
		}
		entries = append(entries, image.File(pauseTarball, pauseTar, 0o644))
		for i, p := range programs {
			entries = append(entries, image.File(p.path, binaries[i].Path, 0o755))
			for _, link := range p.links {
				entries = append(entries, image.Link(link, filepath.Base(p.path)))
			}
		}
		return compose(debian, entries, config(
			// So that a bare `ctr` in the node is about Kubernetes, as k3s's is.
			"CONTAINERD_ADDRESS=/run/k3s/containerd/containerd.sock", "CONTAINERD_NAMESPACE=k8s.io"))
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

// buildFile in a module says how its programs are built.
type buildFile struct {
	// Args are flags for `go build` beside [gobuild.Flags].
	Args []string `json:"args"`
	// Programs by name, with their packages.
	Programs map[string]string `json:"programs"`
}

func readBuildFile(root, module string) (buildFile, error) {
	path := filepath.Join(root, module, "build.json")
	content, err := os.ReadFile(path)
	if err != nil {
		return buildFile{}, fmt.Errorf("read how to build: %w", err)
	}
	var b buildFile
	if err := json.Unmarshal(content, &b); err != nil {
		return buildFile{}, fmt.Errorf("read how to build: parse %s: %w", path, err)
	}
	return b, nil
}

// linksOf are the names beside a program by which it is called as well.
var linksOf = map[string][]string{"k3s": {"usr/bin/kubectl"}}

// sourcePrograms are the programs that are compiled, and the versions that they are of.
func sourcePrograms(root string) ([]nodeProgram, map[string]string, error) {
	versions := map[string]string{}
	var programs []nodeProgram
	for _, module := range []struct{ name, dir, path string }{
		{"containerd", containerdModule, "github.com/containerd/containerd/v2"},
		{"kubernetes", kubernetesModule, "k8s.io/kubernetes"},
	} {
		version, err := requiredVersion(root, module.dir, module.path)
		if err != nil {
			return nil, nil, err
		}
		versions[module.name] = version
		build, err := readBuildFile(root, module.dir)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(build.Programs)) {
			programs = append(programs, nodeProgram{
				Program: image.Program{Name: name, Module: module.dir, Package: build.Programs[name], Flags: build.Args},
				path:    "usr/bin/" + name,
				links:   linksOf[name],
			})
		}
	}
	return programs, versions, nil
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
