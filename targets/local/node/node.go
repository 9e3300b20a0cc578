// Package node makes the image that k3d runs as the nodes of a cluster. There are two flavours, and whoever uses the
// image need not know which it is:
//
//   - k3s: Debian with the binaries of the official k3s image;
//   - source: Debian, its containerd and etcd among it, with Kubernetes compiled from its Go module, for where no image
//     registry can be reached.
//
// Both have what checkpoints need and the official image lacks: CRIU, GNU tar (CRIU cannot use busybox's), bash.
package node

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Flavour says where a node's Kubernetes comes from.
type Flavour string

const (
	// Auto takes k3s where its image is at hand or can be had within [probeTimeout], and source elsewhere.
	Auto Flavour = "auto"
	// K3s is the official image's binaries on Debian.
	K3s Flavour = "k3s"
	// Source is Kubernetes compiled here.
	Source Flavour = "source"
)

// DefaultK3sImage is the official k3s of the Kubernetes minor version that the source flavour compiles, by digest:
// a tag is only a promise.
const DefaultK3sImage = "docker.io/rancher/k3s:v1.37.1-k3s1@sha256:ca7f37d993d82ef0dcdcfecb2e0e2618ea541dbaffc620c8cedebe01a82acd0d"

// Options of [Ensure].
type Options struct {
	// Home has the caches, `images/` and `build/`.
	Home string
	// Flavour is Auto when empty.
	Flavour Flavour
	// K3sImage is DefaultK3sImage when empty.
	K3sImage string
	// Mirror of Debian; the host's own when empty, see [Mirror].
	Mirror string
	// Engine waits for the engine that gets the images. The k3s image is taken from it when it has it. Where it need not
	// be asked, compiling begins while it is still being installed.
	Engine func(context.Context) (image.Engine, error)
	// Progress may be nil.
	Progress console.Progress
	// Linking is called, if it is not nil, when all is compiled and one processor is enough for what is left to do; not
	// where nothing is compiled.
	Linking func()

	// canRunK3s is found out by Ensure. k3s asks for more than a host without CAP_SYS_RESOURCE can give, and its
	// containerd's restrict_oom_score_adj, the remedy, cannot be set from outside.
	canRunK3s bool
}

// Image is a node image in the engine.
type Image struct {
	// Ref of the node's image.
	Ref string
	// Tools is the image for k3d's tools node, for K3D_IMAGE_TOOLS. k3d starts one beside every cluster; this one
	// does nothing but stay, so images must be imported directly (k3d's ImportModeDirect), not by way of it.
	Tools string
	// Flavour is K3s or Source.
	Flavour Flavour
	// Versions of kubernetes, criu and runc in the image; of containerd and etcd too where they are Debian's.
	Versions map[string]string
}

// Ensure makes the node's image and the tools image unless they are in the cache, and loads them into the engine
// unless they are there. The first time takes minutes for the source flavour and half a minute for k3s, most of it
// compiling and installing packages; afterwards less than a second. It needs root only the first time.
func Ensure(ctx context.Context, o Options) (Image, error) {
	store := image.NewStore(o.Home, o.Progress)
	if o.K3sImage == "" {
		o.K3sImage = DefaultK3sImage
	}
	lacks, err := capabilities.HostLacksSysResource()
	if err != nil {
		return Image{}, err
	}
	o.canRunK3s = !lacks
	var tools, node image.Tarball
	var made Image
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() (err error) {
		tools, err = store.Static(workCtx, toolsImage)
		return err
	})
	work.Go(func() (err error) {
		node, made, err = build(workCtx, store, o)
		return err
	})
	if err := work.Wait(); err != nil {
		return Image{}, fmt.Errorf("make the node image: %w", err)
	}
	engine, err := o.Engine(ctx)
	if err != nil {
		return Image{}, err
	}
	for _, tarball := range []image.Tarball{tools, node} {
		if err := image.Load(ctx, engine, tarball, store.Progress()); err != nil {
			return Image{}, err
		}
	}
	made.Ref, made.Tools = node.Ref, tools.Ref
	return made, nil
}

func build(ctx context.Context, store *image.Store, o Options) (image.Tarball, Image, error) {
	k3s, err := findK3s(ctx, store, o)
	if err != nil {
		return image.Tarball{}, Image{}, err
	}
	if k3s != nil {
		return k3s.build(ctx, store, o.Mirror)
	}
	return buildSource(ctx, store, o)
}

// findK3s returns where to get k3s from, or nil when the node is to be compiled.
//
// In order: what was asked for; the k3s image if it is in the cache or the engine; compiled if that was done on this
// machine before (a registry that could not be reached then would be asked in vain on every run); the k3s image if
// its registry answers; compiled.
func findK3s(ctx context.Context, store *image.Store, o Options) (*k3sImage, error) {
	switch o.Flavour {
	case Source:
		return nil, nil
	case K3s:
		return lookUpK3s(ctx, store, o, stretch.Limit(pullTimeout))
	case Auto, "":
	default:
		return nil, fmt.Errorf("unknown node flavour %q: want %s, %s or %s (E2E_NODE)", o.Flavour, Auto, K3s, Source)
	}
	if !o.canRunK3s {
		return nil, nil
	}
	k3s, err := localK3s(ctx, store, o)
	if err != nil || k3s != nil {
		return k3s, err
	}
	compiled, err := store.HasImage(sourceName)
	if err != nil || compiled {
		return nil, err
	}
	k3s, err = lookUpK3s(ctx, store, o, stretch.Limit(probeTimeout))
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		store.Progress().Step("no k3s image to be had, so Kubernetes is compiled here: %v", err)
		return nil, nil
	}
	return k3s, nil
}

const (
	// probeTimeout is how long a registry has to answer before Kubernetes is compiled instead.
	probeTimeout = 5 * time.Second
	// pullTimeout is how long it has when k3s was asked for by name.
	pullTimeout = 30 * time.Second
)
