// Package workload makes the images of the pods under test: small enough to be put on a node in well under a second,
// and made without a registry.
//
//   - counter keeps a nonce, a count and a chunk of memory, and writes a file: see its own documentation.
//   - nginx is Debian's, on port 80, with one worker and its access log in a file: the log's lines are state that a
//     restore must bring back. busybox is beside it for whoever executes something in the pod.
//   - programs of Debian's, as their packages have them, for those who ask for them.
package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// Options of [Images].
type Options struct {
	// Home has the caches, `images/` and `build/`.
	Home string
	// Mirror of Debian; the host's own when empty.
	Mirror string
	// Progress may be nil.
	Progress console.Progress
	// Programs are those of which images are wanted, of [ProgramNames].
	Programs []string
}

// Set is every image, by what it is for.
type Set struct {
	Counter, Nginx image.Tarball
	Programs       map[string]Program
}

// All are the images in a row, to be put on the nodes.
func (s Set) All() []image.Tarball {
	all := []image.Tarball{s.Counter, s.Nginx}
	for _, name := range slices.Sorted(maps.Keys(s.Programs)) {
		all = append(all, s.Programs[name].Tarball)
	}
	return all
}

var counter = image.Static{
	Name:    "counter",
	Program: image.Program{Name: "counter", Package: "./targets/local/workload/counter"},
	Path:    "/counter",
	Texts:   fixtures(),
}

// fixtures are files in the counter's image that it can change, delete and replace.
func fixtures() map[string]string {
	texts := map[string]string{}
	for _, name := range report.ImageFiles {
		texts[strings.TrimPrefix(report.ImageDir, "/")+"/"+name] = name + " of the image\n"
	}
	return texts
}

// Images makes the images unless they are in the cache.
//
// On a host without CAP_SYS_RESOURCE CRIU cannot read the limits of a process of another user (`Can't get rlimit 0`):
// there nginx's worker is root as well, and the image has another name.
func Images(ctx context.Context, o Options) (Set, error) {
	lacksSysResource, err := capabilities.HostLacksSysResource()
	if err != nil {
		return Set{}, err
	}
	store := image.NewStore(o.Home, o.Progress)
	var set Set
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() (err error) {
		set.Counter, err = store.Static(ctx, counter)
		return err
	})
	work.Go(func() error {
		files, err := debianFiles(ctx, store, o.Mirror)
		if err != nil {
			return err
		}
		if set.Nginx, err = nginx(ctx, store, files, nginxUser(lacksSysResource)); err != nil {
			return err
		}
		set.Programs, err = makePrograms(ctx, store, o.Mirror, files, o.Programs, lacksSysResource)
		return err
	})
	if err := work.Wait(); err != nil {
		return Set{}, fmt.Errorf("make the workloads' images: %w", err)
	}
	return set, nil
}

// nginxUser is the user of nginx's worker process.
func nginxUser(lacksSysResource bool) string {
	if lacksSysResource {
		return "root"
	}
	return "www-data"
}
