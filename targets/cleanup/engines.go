package cleanup

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/cluster/tunables"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// client is what is needed of a Docker client.
type client interface {
	tunables.Engine
	Ping(context.Context) (types.Ping, error)
	ImageList(context.Context, dockerimage.ListOptions) ([]dockerimage.Summary, error)
	ImageRemove(context.Context, string, dockerimage.RemoveOptions) ([]dockerimage.DeleteResponse, error)
	Close() error
}

func dial(host string) (client, error) { return docker.Connect(host) }

// pingTimeout bounds the first word with an engine that may hang.
const pingTimeout = 10 * time.Second

// imagePrefix is the registry of all image names made here.
const imagePrefix = "cedana-e2e.local/"

// engine is one that answers.
type engine struct {
	Engine
	client
	// others is whether something of another owner is in it, and stays.
	others bool
}

func (e *engine) close() { _ = e.Close() }

func (e *engine) String() string { return fmt.Sprintf("%s engine at %s", e.Name, e.Host) }

// openEngines connects to the engines that answer: the given ones, and those that a cluster's state names. One that
// does not answer is a failure only where something is known, or must be feared, to be in it.
func (w *cleaner) openEngines(ctx context.Context, dirs map[string]string) []*engine {
	all := slices.Clone(w.options.Engines)
	users := make(map[string][]string)
	for _, name := range sortedKeys(dirs) {
		st, err := state.Load(dirs[name])
		if err != nil {
			// cleanCluster reports it.
			continue
		}
		for _, host := range st.Engines {
			users[host] = append(users[host], name)
			if !slices.ContainsFunc(all, func(e Engine) bool { return e.Host == host }) {
				all = append(all, Engine{Name: "other", Host: host})
			}
		}
	}
	var open []*engine
	for i, spec := range all {
		if slices.ContainsFunc(all[:i], func(e Engine) bool { return e.Host == spec.Host }) {
			continue
		}
		c, err := w.options.dial(spec.Host)
		if err == nil {
			err = ping(ctx, c)
		}
		if err == nil {
			open = append(open, &engine{Engine: spec, client: c})
			continue
		}
		w.closed(spec, users[spec.Host], err)
	}
	return open
}

func ping(ctx context.Context, c client) error {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(pingTimeout))
	defer cancel()
	if _, err := c.Ping(ctx); err != nil {
		_ = c.Close()
		return err
	}
	return nil
}

// closed deals with an engine that does not answer.
func (w *cleaner) closed(e Engine, users []string, err error) {
	if e.Data != "" && (!exists(e.Data) || w.stopsEngine()) {
		// Ours, and removed already or in a moment, with all that is in it.
		return
	}
	if len(users) == 0 {
		if !docker.Absent(e.Host, err) {
			w.con.Warn("the %s engine at %s does not answer, so nobody knows what is in it: %v", e.Name, e.Host, err)
		}
		return
	}
	hint := "start it and run `go tool mage clean` again"
	if e.Data != "" {
		hint = "ENGINE=1 removes it with all that is in it"
	}
	for _, name := range users {
		w.unreachable(name, fmt.Sprintf("what cluster %s has in the %s engine at %s, which does not answer (%s): %v", name, e.Name, e.Host, hint, err))
	}
}

func (w *cleaner) stopsEngine() bool {
	return (w.settings.Engine || w.settings.All) && w.options.StopEngine != nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// setBackTunables sets back the kernel's tunables if no node stays in any engine. It comes before the removal.
func (w *cleaner) setBackTunables(ctx context.Context) {
	going := map[string]bool{}
	for _, e := range w.engines {
		found, _, err := w.find(ctx, e)
		if err != nil {
			return // cleanEngine reports it
		}
		for _, o := range found {
			going[o.ID] = true
		}
	}
	changed, err := tunables.SetBack(ctx, w.engines, func(o docker.Object) bool { return going[o.ID] })
	for line := range strings.Lines(changed) {
		w.con.Ok("set back kernel tunable %s", strings.TrimSpace(line))
	}
	if err != nil {
		w.leave(err.Error())
	}
}

// cleanEngine removes what carries the label in one engine and looks again.
func (w *cleaner) cleanEngine(ctx context.Context, e *engine, dirs map[string]string) {
	fail := func(err error) {
		w.leave(fmt.Sprintf("%s: %v", e, err))
		for name := range dirs {
			w.unfinished[name] = true
		}
	}
	found, others, err := w.find(ctx, e)
	if err != nil {
		fail(err)
		return
	}
	if e.others = len(others) > 0; e.others {
		var names []string
		for _, o := range others {
			names = append(names, fmt.Sprintf("%s (owner %s)", o, cmp.Or(o.Labels[settings.DockerLabelOwner], "unknown")))
		}
		w.con.Step("left in the %s, as another owner's (ALL_OWNERS=1 removes it, too): %s", e, strings.Join(names, ", "))
	}
	removeErr := docker.Remove(ctx, e, found)
	still, _, err := w.find(ctx, e)
	if err != nil {
		fail(err)
		return
	}
	for _, o := range found {
		if !slices.ContainsFunc(still, func(s docker.Object) bool { return s.Kind == o.Kind && s.ID == o.ID }) {
			w.gone("%s (%s)", o, e)
		}
	}
	for _, o := range still {
		why := "it was made while this went on: run `go tool mage clean` again"
		if removeErr != nil {
			why = removeErr.Error()
		}
		w.leave(fmt.Sprintf("%s in the %s: %s", o, e, why))
		w.unfinished[o.Cluster] = true
	}
}

// find lists what is ours in an engine, what carries the label and our owner's id, and what carries the label with the id of
// another owner.
func (w *cleaner) find(ctx context.Context, e *engine) (found, others []docker.Object, err error) {
	all, err := docker.Find(ctx, e, w.scope)
	if err != nil {
		return nil, nil, err
	}
	owner := w.settings.Owner()
	for _, o := range all {
		switch {
		case !w.settings.AllOwners && !o.Ours(owner):
			others = append(others, o)
		case o.Cluster == "" || w.lock(ctx, o.Cluster):
			found = append(found, o)
		}
	}
	return found, others, nil
}

// cleanPrivateEngine stops the engine that is ours when that is asked for, and names it otherwise. With somebody else's
// containers in it, it is not for us alone to stop. One without data here was started by another owner, and StopEngine
// says so.
func (w *cleaner) cleanPrivateEngine(ctx context.Context) {
	shared := slices.ContainsFunc(w.engines, func(e *engine) bool { return e.Data != "" && exists(e.Data) && e.others })
	if w.stopsEngine() && shared {
		w.leave("the private engine, in which another owner has something: wait until that is gone, or ALL_OWNERS=1 takes it, too")
		return
	}
	if w.stopsEngine() {
		removed, err := w.options.StopEngine(ctx)
		for _, what := range removed {
			w.gone("%s", what)
		}
		if err != nil {
			w.leave(err.Error())
		}
	}
	for _, e := range w.options.Engines {
		switch {
		case e.Data == "" || !exists(e.Data):
		case w.stopsEngine():
			w.leave(fmt.Sprintf("the %s Docker engine's data in %s", e.Name, e.Data))
		case w.scope == "":
			size, err := diskUse(e.Data)
			if err != nil {
				w.con.Warn("%v", err)
			}
			w.keep("the %s Docker engine in %s (%s; ENGINE=1 removes it alone)", e.Name, e.Data, size)
		}
	}
	if w.stopsEngine() {
		w.engines = slices.DeleteFunc(w.engines, func(e *engine) bool {
			if e.Data == "" {
				return false
			}
			e.close()
			return true
		})
	}
}

// cleanImages removes the images made here from the engines, or names them.
func (w *cleaner) cleanImages(ctx context.Context) {
	for _, e := range w.engines {
		images, err := ourImages(ctx, e)
		if err != nil {
			w.con.Warn("%s: %v", e, err)
			continue
		}
		var total int64
		refs := 0
		for _, i := range images {
			total += i.Size
			refs += len(i.RepoTags)
			if !w.settings.All || e.others {
				continue
			}
			// A tag of somebody else's on the same image stays, and so does the image then.
			for _, ref := range i.RepoTags {
				if _, err := e.ImageRemove(ctx, ref, dockerimage.RemoveOptions{PruneChildren: true}); err != nil {
					w.leave(fmt.Sprintf("image %s in the %s: %v", ref, e, err))
					continue
				}
				w.gone("image %s (%s)", ref, e)
			}
		}
		switch {
		case refs > 0 && e.others:
			w.keep("%d images in the %s, which another owner's containers may run (%s)", refs, e, bytes(total))
		case refs > 0 && !w.settings.All:
			w.keep("%d images in the %s (%s)", refs, e, bytes(total))
		}
	}
}

func ourImages(ctx context.Context, e *engine) ([]dockerimage.Summary, error) {
	images, err := e.ImageList(ctx, dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", imagePrefix+"*"))})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	labelled, err := e.ImageList(ctx, dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("label", settings.DockerLabel+"=true"))})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	for _, i := range labelled {
		if !slices.ContainsFunc(images, func(have dockerimage.Summary) bool { return have.ID == i.ID }) {
			images = append(images, i)
		}
	}
	return images, nil
}
