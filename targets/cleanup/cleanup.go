// Package cleanup finds everything that any run made, by label, by name or in the state files, removes it, and
// reports by name what it could not remove.
package cleanup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Engine is a Docker engine that runs may have used.
type Engine struct {
	// Name is what people call it: "system", "private".
	Name string
	// Host is its Docker host URL.
	Host string
	// Data is the directory of an engine that belongs to this project. While it is there, things made in the engine
	// may be there too although the engine does not run. Empty for an engine that belongs to somebody else.
	Data string
}

// Options are what Run needs beside the settings.
type Options struct {
	// Engines to look in. Hosts that a state file names are looked in as well. Default: the one at hand.
	Engines []Engine
	// StopEngine stops the private engine, removes its data and names what it removed. It is called when the settings
	// say so (CleanEngine or CleanAll), and must do nothing, without an error, where there is none.
	StopEngine func(ctx context.Context) (removed []string, err error)
	// RemoveMachines ends the virtual machine of that name, or all of them where it is empty, and names what it removed.
	RemoveMachines func(name string) (removed []string, err error)
	// Deregister deletes a cluster that a run registered at a propagator. One that is known to be gone is a success.
	Deregister func(ctx context.Context, r state.Registration, token settings.Secret) error
	// RemoveFrom takes out of a cluster that is not ours what these runs have put into it, and names what it removed.
	RemoveFrom func(ctx context.Context, cluster state.Existing) (removed []string, err error)
	// TempDir is where temporary directories are looked for. Default: os.TempDir().
	TempDir string

	// patience is how long a run that is told to end may take, and then one that is killed. Default: 15 s.
	patience time.Duration
	// dial is replaced by tests.
	dial func(host string) (client, error)
}

// Run removes the containers, networks, volumes, what was put into existing clusters, kubeconfig and state files, cluster registrations, temporary
// directories and left-over mounts of every run, or with s.ClusterChosen of the runs with that CLUSTER_NAME, in all
// engines that can be reached. Caches are named with their size and stay, unless s.All is set. What carries none
// of this project's labels and names is never touched, and what carries another owner's (E2E_HOME) is named and stays,
// unless s.AllOwners is set. What cannot be reached stays remembered, unless its cluster is one of s.Forget.
//
// A run that goes on is ended first: it would make anew, without a label even, what is removed from under it. What is of one
// that cannot be ended stays.
//
// Everything is tried whatever fails. The error names what is left; where nothing is left it is nil.
func Run(ctx context.Context, con *console.Console, s *settings.Cleanup, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	if len(o.Engines) == 0 {
		o.Engines = []Engine{{Name: "system", Host: docker.Host()}}
	}
	if o.patience == 0 {
		o.patience = stretch.Limit(15 * time.Second)
	}
	if o.dial == nil {
		o.dial = dial
	}
	w := &cleaner{con: con, settings: s, options: o, unfinished: make(map[string]bool), locked: make(map[string]func()), busy: make(map[string]bool)}
	if s.ClusterChosen {
		w.scope = s.ClusterName
	}
	w.run(ctx)
	return w.report()
}

type cleaner struct {
	con      *console.Console
	settings *settings.Cleanup
	options  Options
	// scope is the only cluster to clean, or empty for all.
	scope   string
	engines []*engine

	// unfinished are the clusters of which something is left, and whose state therefore has to stay.
	unfinished map[string]bool

	// locked are the clusters that no run can begin in, with what ends that. In a busy one another process is at work
	// that could not be ended.
	locked map[string]func()
	busy   map[string]bool

	removed int
	kept    []string
	left    []string
}

func (w *cleaner) run(ctx context.Context) {
	dirs := w.clusterDirs()
	defer func() {
		for _, unlock := range w.locked {
			unlock()
		}
		w.removeEmptyDirs()
	}()
	for _, name := range sortedKeys(dirs) {
		if !w.lock(ctx, name) {
			delete(dirs, name)
		}
	}
	w.engines = w.openEngines(ctx, dirs)
	defer func() {
		for _, e := range w.engines {
			e.close()
		}
	}()
	// First: a propagator that is reached through a cluster goes with it.
	for _, name := range sortedKeys(dirs) {
		w.cleanRegistrations(ctx, name, dirs[name])
	}
	w.setBackTunables(ctx)
	for _, e := range w.engines {
		w.cleanEngine(ctx, e, dirs)
	}
	for _, name := range sortedKeys(dirs) {
		w.cleanCluster(ctx, name, dirs[name])
	}
	w.cleanMachines()
	w.cleanDisk()
	w.cleanPrivateEngine(ctx)
	w.cleanCaches(ctx)
}

// cleanMachines ends the virtual machines in scope, with whatever is in them.
func (w *cleaner) cleanMachines() {
	if w.options.RemoveMachines == nil {
		return
	}
	removed, err := w.options.RemoveMachines(w.scope)
	for _, what := range removed {
		w.gone("%s", what)
	}
	if err != nil {
		w.leave(err.Error())
	}
}

// clusterDirs are the cluster directories in scope.
func (w *cleaner) clusterDirs() map[string]string {
	dirs, err := state.List(w.settings.Clusters())
	if err != nil {
		w.leave(err.Error())
	}
	if w.scope != "" {
		for name := range dirs {
			if name != w.scope {
				delete(dirs, name)
			}
		}
	}
	return dirs
}

// lock sees to it that no run is in a cluster, and none begins: one that goes on is told to end, and killed when it does
// not. It says whether that is so.
func (w *cleaner) lock(ctx context.Context, name string) bool {
	if w.locked[name] != nil || w.busy[name] {
		return !w.busy[name]
	}
	dir := filepath.Join(w.settings.Clusters(), name)
	path := filepath.Join(dir, state.LockFile)
	var failed []error
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		holder, err := filelock.Holder(path)
		if err == nil && holder != "" {
			w.con.Warn("cluster %s is in use: ending (%s) another process, which %s", name, sig, holder)
			err = filelock.Signal(path, sig)
		}
		failed = append(failed, err)
		ctx, cancel := context.WithTimeoutCause(ctx, w.options.patience, fmt.Errorf("not within %s", w.options.patience))
		unlock, err := filelock.Lock(ctx, console.Quiet{}, path, "cleans cluster "+name)
		cancel()
		if err == nil {
			w.locked[name] = func() {
				unlock()
				_ = os.Remove(dir) // fails where something is in it
			}
			return true
		}
		failed = append(failed, err)
	}
	w.busy[name] = true
	w.leave(fmt.Sprintf("cluster %s, which is in use; end that and run `go tool mage clean` again: %v", name, errors.Join(failed...)))
	return false
}

// cleanRegistrations deregisters what was registered for the cluster.
func (w *cleaner) cleanRegistrations(ctx context.Context, name, dir string) {
	st := w.state(name, dir)
	for _, r := range st.Elsewhere() {
		if err := w.deregister(ctx, r); err != nil {
			w.unreachable(name, fmt.Sprintf("cluster %s (%s) registered at %s: %v", cmp.Or(r.Name, name), cmp.Or(r.ID, "its id is not known"), r.URL, err))
			continue
		}
		w.gone("registration of cluster %s at %s", cmp.Or(r.Name, name), r.URL)
		if err := state.Update(dir, func(st *state.State) { st.Unregister(r) }); err != nil {
			w.con.Warn("%v", err)
		}
	}
}

// state is what is remembered of a cluster. Where that cannot be read it is nothing, and the directory stays: what else
// the runs made is known to nobody.
func (w *cleaner) state(name, dir string) *state.State {
	st, err := state.Load(dir)
	if err == nil {
		return st
	}
	if !errors.Is(err, os.ErrNotExist) {
		w.unreachable(name, fmt.Sprintf("what cluster %s has elsewhere, which its state would tell: %v; look for clusters %s-* with `go tool mage listClusters` "+
			"and, with E2E_CLUSTER=existing, for namespaces labelled %s", name, err, name, settings.KubernetesLabelRun))
	}
	return &state.State{}
}

// cleanCluster removes the cluster's directory. While something of the cluster is left, its state stays too: the next
// clean needs it.
func (w *cleaner) cleanCluster(ctx context.Context, name, dir string) {
	for _, there := range w.state(name, dir).Existing {
		w.cleanExisting(ctx, name, dir, there)
	}
	if w.unfinished[name] {
		return
	}
	if err := state.Remove(dir); err != nil {
		w.leave(err.Error())
		return
	}
	w.gone("kubeconfig and state of cluster %s in %s", name, dir)
}

func (w *cleaner) cleanExisting(ctx context.Context, name, dir string, cluster state.Existing) {
	err := errors.New("nothing here can remove it")
	if w.options.RemoveFrom != nil {
		var removed []string
		removed, err = w.options.RemoveFrom(ctx, cluster)
		for _, what := range removed {
			w.gone("%s of context %s", what, cluster.Context)
		}
	}
	if err != nil {
		w.unreachable(name, fmt.Sprintf("what runs made in the cluster of context %s in %s: %v", cluster.Context, cluster.Kubeconfig, err))
		return
	}
	if err := state.Update(dir, func(st *state.State) { st.LeftExisting(cluster) }); err != nil {
		w.con.Warn("%v", err)
	}
}

// deregisterTimeout leaves time for the rest where a propagator does not answer.
const deregisterTimeout = 30 * time.Second

// deregister sends the token to no propagator but the one that it is given for.
func (w *cleaner) deregister(ctx context.Context, r state.Registration) error {
	if !w.settings.Token.Set() || w.settings.URL != r.URL {
		return fmt.Errorf("needs the token of that propagator: E2E_BACKEND=live CEDANA_URL=%s CEDANA_AUTH_TOKEN=... go tool mage clean", r.URL)
	}
	if w.options.Deregister == nil {
		return errors.New("nothing here can delete it")
	}
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(deregisterTimeout))
	defer cancel()
	return w.options.Deregister(ctx, r, w.settings.Token)
}

func (w *cleaner) gone(format string, args ...any) {
	w.removed++
	w.con.Ok("removed %s", fmt.Sprintf(format, args...))
}

func (w *cleaner) leave(what string) {
	if !slices.Contains(w.left, what) {
		w.left = append(w.left, what)
		w.con.Fail("not removed: %s", what)
	}
}

// unreachable is for what a cluster's state tells of and nothing here can remove. The state stays for the next clean, unless
// the user knows better (FORGET).
func (w *cleaner) unreachable(name, what string) {
	if slices.Contains(w.settings.Forget, name) {
		w.con.Warn("forgotten, and not removed: %s", what)
		return
	}
	w.unfinished[name] = true
	w.leave(fmt.Sprintf("%s; where it is gone for good, `FORGET=%s go tool mage clean`", what, name))
}

func (w *cleaner) keep(format string, args ...any) {
	w.kept = append(w.kept, fmt.Sprintf(format, args...))
}

func (w *cleaner) report() error {
	of := ""
	if w.scope != "" {
		of = " of cluster " + w.scope
	}
	kept := ""
	if len(w.kept) > 0 {
		kept = "; kept for the next run (ALL=1 removes): " + strings.Join(w.kept, ", ")
	}
	if len(w.left) > 0 {
		return fmt.Errorf("clean%s: %d removed, %d could not be:\n  %s", of, w.removed, len(w.left), strings.Join(w.left, "\n  "))
	}
	if w.removed == 0 {
		w.con.Ok("nothing%s to clean%s", of, kept)
		return nil
	}
	w.con.Ok("clean%s: %d removed, nothing left%s", of, w.removed, kept)
	return nil
}

// removeEmptyDirs removes the directories that hold nothing any more.
func (w *cleaner) removeEmptyDirs() {
	for _, dir := range []string{w.settings.Clusters(), w.settings.Images(), w.settings.Build()} {
		// Fails where there is something in it, which is what is wanted.
		_ = os.Remove(dir)
	}
	settings.RemoveOwner(w.settings.Home)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel) && rel != "."
}
