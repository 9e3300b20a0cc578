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

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/local/image"
)

// sourceName is the image's name in the cache.
const sourceName = "node-source"

// kubernetesModule is a directory in the repository.
const kubernetesModule = "targets/local/node/kubernetes"

// sourceRecipe is raised when the way that the parts are put together changes.
const sourceRecipe = 2

func buildSource(ctx context.Context, store *image.Store, o Options) (image.Tarball, Image, error) {
	root, err := gobuild.Root()
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	version, err := requiredVersion(root, kubernetesModule, "k8s.io/kubernetes")
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	program, err := kubernetesProgram(root)
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	program.Linking = o.Linking
	var debian base
	var pauseTar, pauseKey string
	var binary image.Binary
	// Packages come over the network and go to disk while the compiler has the processors.
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() (err error) {
		debian, err = ensureBase(workCtx, store, Source, o.Mirror)
		return err
	})
	work.Go(func() (err error) {
		pauseTar, pauseKey, err = pause(workCtx, store)
		return err
	})
	work.Go(func() (err error) {
		binary, err = store.Program(workCtx, program)
		return err
	})
	if err := work.Wait(); err != nil {
		return image.Tarball{}, Image{}, err
	}

	key, err := image.NewInputs(sourceName, sourceRecipe).Text("base", debian.SHA256).Text("pause", pauseKey).
		Tree("rootfs", filepath.Join(root, rootfs)).Text("program", binary.Key).Key()
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	node, err := store.Image(ctx, sourceName, key, func(context.Context) (v1.Image, error) {
		entries, err := overlay(filepath.Join(root, rootfs))
		if err != nil {
			return nil, err
		}
		entries = append(entries, image.File(pauseTarball, pauseTar, 0o644),
			image.File("usr/bin/k3s", binary.Path, 0o755))
		return compose(debian, entries, config(
			// So that a bare `kubectl` on a server is an administrator's, as k3s's is: the supervisor's AdminKubeconfig.
			"KUBECONFIG=/etc/rancher/k3s/k3s.yaml",
			// So that a bare `ctr` in the node is about Kubernetes, as k3s's is.
			"CONTAINERD_ADDRESS=/run/k3s/containerd/containerd.sock", "CONTAINERD_NAMESPACE=k8s.io"))
	})
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	versions := map[string]string{"kubernetes": version}
	maps.Copy(versions, debian.Versions)
	return node, Image{Flavour: Source, Versions: versions}, nil
}

// compose puts a node together: Debian below, everything else in one layer above.
func compose(debian base, entries []image.Entry, config v1.Config) (v1.Image, error) {
	lower, err := image.LayerFile(debian.Path, debian.SHA256)
	if err != nil {
		return nil, err
	}
	upper, err := image.Layer(entries...)
	if err != nil {
		return nil, err
	}
	return image.Compose(config, lower, upper)
}

// buildFile in a module says how its program is built.
type buildFile struct {
	// Args are flags for `go build` beside [gobuild.Flags].
	Args []string `json:"args"`
	// LeaveOut is [image.Program.LeaveOut]: helpers for the modules' own tests, which bring much else to compile.
	LeaveOut []string `json:"leaveOut"`
}

// kubernetesProgram is all of Kubernetes, with what its build.json says.
func kubernetesProgram(root string) (image.Program, error) {
	path := filepath.Join(root, kubernetesModule, "build.json")
	content, err := os.ReadFile(path)
	if err != nil {
		return image.Program{}, fmt.Errorf("read how to build: %w", err)
	}
	var b buildFile
	if err := json.Unmarshal(content, &b); err != nil {
		return image.Program{}, fmt.Errorf("read how to build: parse %s: %w", path, err)
	}
	return image.Program{Name: "k3s", Module: kubernetesModule, Package: ".", Flags: b.Args, LeaveOut: b.LeaveOut}, nil
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
