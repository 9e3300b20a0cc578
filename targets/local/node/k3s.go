package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
)

const (
	// k3sName is the image's name in the cache, k3sFiles that of the official image's files.
	k3sName  = "node-k3s"
	k3sFiles = "k3s-files"
	// k3sRootfs in the repository has what is laid over the rest with k3s alone.
	k3sRootfs = "targets/local/node/k3s"
	// k3sRecipe is raised when what is taken from the official image or how it is put together changes.
	k3sRecipe = 1
)

// k3sImage is an official k3s image that can be had.
type k3sImage struct {
	ref string
	key string
	// fetch gets the image; nil when its files are in the cache.
	fetch func(ctx context.Context, progress console.Progress, scratch string) (v1.Image, error)
}

// localK3s finds the k3s image in the engine or in the cache, or returns nil.
func localK3s(ctx context.Context, store *image.Store, o Options) (*k3sImage, error) {
	engine, err := o.Engine(ctx)
	if err != nil {
		return nil, err
	}
	found, err := engine.ImageInspect(ctx, o.K3sImage)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("look for image %s in the Docker engine: %w", o.K3sImage, err)
	}
	var k3s k3sImage
	if err == nil {
		// With its id: an image that someone built here changes under its name.
		k3s = k3sImage{ref: o.K3sImage, fetch: saved(engine, found.ID)}
		k3s.key, err = k3sKey(o.K3sImage, found.ID)
		return &k3s, err
	}
	if k3s.key, err = k3sKey(o.K3sImage, ""); err != nil {
		return nil, err
	}
	if k3s.ref = o.K3sImage; store.HasFile(k3sFiles, k3s.key, "") {
		return &k3s, nil
	}
	return nil, nil
}

// lookUpK3s is localK3s, and else asks the image's registry, which has so long to answer.
func lookUpK3s(ctx context.Context, store *image.Store, o Options, timeout time.Duration) (*k3sImage, error) {
	k3s, err := localK3s(ctx, store, o)
	if err != nil || k3s != nil {
		return k3s, err
	}
	ref, err := name.ParseReference(o.K3sImage)
	if err != nil {
		return nil, fmt.Errorf("parse image name %s (E2E_K3S_IMAGE): %w", o.K3sImage, err)
	}
	store.Progress().Step("ask %s for %s", ref.Context().RegistryStr(), o.K3sImage)
	asked, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := remote.Head(ref, remoteOptions(asked)...); err != nil {
		if asked.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("no answer within %s: %w", timeout, err)
		}
		return nil, fmt.Errorf("find image %s: %w; put it into the Docker engine with docker pull or docker load, or set E2E_NODE=source", o.K3sImage, err)
	}
	key, err := k3sKey(o.K3sImage, "")
	return &k3sImage{ref: o.K3sImage, key: key, fetch: pulled(ref)}, err
}

func k3sKey(ref, id string) (string, error) {
	return image.NewInputs(k3sFiles, k3sRecipe).Text("ref", ref).Text("id", id).Key()
}

func remoteOptions(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
	}
}

func pulled(ref name.Reference) func(context.Context, console.Progress, string) (v1.Image, error) {
	return func(ctx context.Context, _ console.Progress, _ string) (v1.Image, error) {
		img, err := remote.Image(ref, remoteOptions(ctx)...)
		if err != nil {
			return nil, fmt.Errorf("pull image %s: %w", ref, err)
		}
		return img, nil
	}
}

func saved(engine image.Engine, id string) func(context.Context, console.Progress, string) (v1.Image, error) {
	return func(ctx context.Context, _ console.Progress, scratch string) (v1.Image, error) {
		stream, err := engine.ImageSave(ctx, []string{id})
		if err != nil {
			return nil, fmt.Errorf("save image %s from the Docker engine: %w", id, err)
		}
		defer stream.Close()
		path := filepath.Join(scratch, "k3s.tar")
		file, err := os.Create(path)
		if err != nil {
			return nil, fmt.Errorf("save image %s: %w", id, err)
		}
		_, err = io.Copy(file, stream)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("save image %s: %w", id, err)
		}
		return tarball.ImageFromPath(path, nil)
	}
}

// build makes the node image of the official image's files.
func (k *k3sImage) build(ctx context.Context, store *image.Store, mirror string) (image.Tarball, Image, error) {
	root, err := gobuild.Root()
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	var debian base
	var files, pauseTar, pauseKey string
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() (err error) {
		debian, err = ensureBase(workCtx, store, K3s, mirror)
		return err
	})
	work.Go(func() (err error) {
		files, err = store.File(workCtx, k3sFiles, k.key, "", func(ctx context.Context, dir string) error {
			return k.extract(ctx, store, dir)
		})
		return err
	})
	work.Go(func() (err error) {
		pauseTar, pauseKey, err = pause(workCtx, store)
		return err
	})
	if err := work.Wait(); err != nil {
		return image.Tarball{}, Image{}, err
	}
	key, err := image.NewInputs(k3sName, k3sRecipe).Text("k3s", k.key).Text("base", debian.SHA256).Text("pause", pauseKey).
		Tree("rootfs", filepath.Join(root, rootfs)).Tree("k3s rootfs", filepath.Join(root, k3sRootfs)).Key()
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	node, err := store.Image(ctx, k3sName, key, func(context.Context) (v1.Image, error) {
		entries, err := k3sEntries(debian.Path, files)
		if err != nil {
			return nil, err
		}
		for _, dir := range []string{rootfs, k3sRootfs} {
			static, err := overlay(filepath.Join(root, dir))
			if err != nil {
				return nil, err
			}
			entries = append(entries, static...)
		}
		entries = append(entries, image.File(pauseTarball, pauseTar, 0o644))
		return compose(debian, entries, config())
	})
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	return node, Image{Flavour: K3s, Versions: map[string]string{"kubernetes": k3sVersion(k.ref), "criu": debian.Versions["criu"]}}, nil
}

// k3sVersion is what the image's tag says: k3s tags are versions, with a minus where the version has a plus.
func k3sVersion(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	tag := ref[strings.LastIndex(ref, ":")+1:]
	return strings.Replace(tag, "-k3s", "+k3s", 1)
}

// extract puts the files of the official image's /bin into dir. Everything else that it has, Debian has as well.
func (k *k3sImage) extract(ctx context.Context, store *image.Store, dir string) (err error) {
	if k.fetch == nil {
		return fmt.Errorf("the cached files of %s went away; run again", k.ref)
	}
	scratch, remove, err := store.Scratch("k3s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	store.Progress().Step("get %s", k.ref)
	img, err := k.fetch(ctx, store.Progress(), scratch)
	if err != nil {
		return err
	}
	end := store.Progress().Watch("get "+k.ref, func() console.State { return console.State{} })
	defer func() { end(err) }()
	contents := mutate.Extract(img)
	defer contents.Close()
	if err := unpackBin(contents, dir); err != nil {
		return fmt.Errorf("unpack image %s: %w", k.ref, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "k3s")); err != nil {
		return fmt.Errorf("unpack image %s: it has no /bin/k3s: not an official k3s image?", k.ref)
	}
	return nil
}
