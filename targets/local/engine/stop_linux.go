package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	removeTimeout = 30 * time.Second
	// patience is what dockerd gets to end by itself, deadPatience what one gets that is already known to be broken.
	patience     = 15 * time.Second
	deadPatience = 3 * time.Second
	endTimeout   = time.Minute
)

func stopPrivate(ctx context.Context, o Options) (stopped []string, err error) {
	if len(absent([]string{o.RunDir, o.dir()})) == 2 {
		return nil, nil
	}
	s, stateErr := o.readState()
	anothers := o.anothers(s) && !o.AllOwners
	// Only root can see whether its processes are there.
	if living, err := lives(o); anothers && (living || err != nil || os.Geteuid() != 0) {
		o.Progress.Step("left the private docker engine %s: another owner has started it, E2E_HOME=%s (ALL_OWNERS=1 takes it, too)", o.privateHost(), s.Home)
		removed, removeErr := removeData([]string{o.Home})
		return removed, errors.Join(err, removeErr)
	}
	if os.Geteuid() != 0 {
		if len(absent([]string{o.RunDir, o.dir("data")})) == 2 {
			// No private engine can have been here; what a try of the system's engine left is the caller's own.
			return nil, removeAll(o.dir())
		}
		return nil, fmt.Errorf("stop the private docker engine: needs root: run the command again as root")
	}
	unlock, err := filelock.Lock(ctx, o.Progress, o.RunDir+".lock", "stops the private engine")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if stateErr != nil && !errors.Is(stateErr, os.ErrNotExist) {
		o.Progress.Step("%v: stopping what is found without it", stateErr)
	}
	homes := []string{o.Home}
	if s.Home != "" && s.Home != o.Home && !anothers {
		homes = append(homes, s.Home)
	}
	wait := deadPatience
	if e, _, err := running(ctx, o); err == nil {
		wait = patience
		o.Progress.Step("stopping the private docker engine %s", e.Host)
		if err := removeContainers(ctx, e); err != nil {
			// They are killed below.
			o.Progress.Step("private docker engine %s does not remove its containers (%v): killing them", e.Host, err)
		}
		stopped = append(stopped, "docker engine "+e.Host)
	}
	ended, err := endEngine(ctx, o, s, wait)
	stopped = append(stopped, ended...)
	if err != nil {
		return stopped, fmt.Errorf("stop the private docker engine: %w", err)
	}
	if err := removeRunDir(o); err != nil {
		return stopped, err
	}
	removed, err := removeData(homes)
	return append(stopped, removed...), err
}

// removeData removes what an engine keeps below the homes, and names what had data.
func removeData(homes []string) (removed []string, err error) {
	for _, home := range homes {
		dir := filepath.Join(home, "engine")
		had := len(absent([]string{filepath.Join(dir, "data")})) == 0
		if err := removeAll(dir); err != nil {
			return removed, err
		}
		if had {
			removed = append(removed, "the private engine's data "+dir)
		}
	}
	return removed, nil
}

// removeContainers takes away what dockerd would otherwise wait for, or start again.
func removeContainers(ctx context.Context, e *Engine) error {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(removeTimeout))
	defer cancel()
	c, err := e.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := c.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var g errgroup.Group
	for _, item := range list {
		g.Go(func() error {
			err := c.ContainerRemove(ctx, item.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
			if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
				return fmt.Errorf("remove container %s: %w", strings.Join(item.Names, ","), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// endEngine ends and removes everything of a private engine but its data and what is remembered in RunDir, whatever state
// it is in, and names what it found. The lock must be held.
func endEngine(ctx context.Context, o Options, s state, patience time.Duration) (found []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(endTimeout))
	defer cancel()
	note := func(n int, what string) {
		if n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, what))
		}
	}
	sockets := shimSockets(o)
	before, err := markedProcesses(o.RunDir)
	if err != nil {
		return nil, err
	}
	if err := terminate(ctx, o, "dockerd", patience); err != nil {
		return found, err
	}
	if err := terminate(ctx, o, "containerd", 5*time.Second); err != nil {
		return found, err
	}
	killed, err := killAll(ctx, o)
	note(max(len(before), killed), "processes")
	if err != nil {
		return found, err
	}

	homes := []string{o.Home}
	if s.Home != "" && s.Home != o.Home {
		homes = append(homes, s.Home)
	}
	roots := []string{o.RunDir}
	for _, home := range homes {
		roots = append(roots, filepath.Join(home, "engine"))
	}
	n, err := unmountBelow(roots)
	note(n, "mounts")
	if err != nil {
		return found, err
	}

	used := recallPools(o)
	if s.Pool != "" {
		pool, err := netip.ParsePrefix(s.Pool)
		if err != nil {
			return found, fmt.Errorf("read %s: %w", o.stateFile(), err)
		}
		used = append(used, pool)
	}
	n, foreign, err := removeBridges(instance(o.RunDir), homes, used)
	note(n, "network bridges")
	for _, bridge := range foreign {
		o.Progress.Step("left bridge %s: it has an address of a pool that this engine once used, but the engine's data does not name it (next, if it is nobody's: ip link delete %s)", bridge, bridge)
	}
	if err != nil {
		return found, err
	}
	removed, err := removeRules(ctx, instance(o.RunDir))
	if removed {
		found = append(found, "firewall rules")
	}
	if err != nil {
		return found, err
	}

	groups, err := cgroupDirs(instance(o.RunDir))
	if err != nil {
		return found, err
	}
	for _, group := range groups {
		if err := removeGroup(ctx, group); err != nil {
			return found, err
		}
	}
	for _, socket := range sockets {
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return found, fmt.Errorf("remove shim socket: %w", err)
		}
	}
	for _, dir := range s.Made {
		// Only if it is empty: another engine may use it by now.
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return found, fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return found, nil
}

// removeGroup removes a cgroup. The kernel needs a moment after its last process died.
func removeGroup(ctx context.Context, group string) error {
	for {
		err := os.Remove(group)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
		if ctxErr := sleep(ctx, 20*time.Millisecond); ctxErr != nil {
			return fmt.Errorf("remove cgroup: %w (%w)", err, ctxErr)
		}
	}
}

// shimSockets are the addresses of the shims of containerd's tasks. They are in /run/containerd/s for every containerd
// of the machine, and a killed shim leaves its own behind.
func shimSockets(o Options) []string {
	files, _ := filepath.Glob(filepath.Join(o.RunDir, "containerd", "io.containerd.runtime.v2.task", "*", "*", "address"))
	var sockets []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the task ended meanwhile, and removed its socket
		}
		if path, ok := strings.CutPrefix(strings.TrimSpace(string(data)), "unix://"); ok {
			sockets = append(sockets, path)
		}
	}
	return sockets
}

// unmountBelow unmounts everything below the directories, the last mounted first.
func unmountBelow(dirs []string) (int, error) {
	n := 0
	for {
		mounts, err := mountsBelow(dirs)
		if err != nil {
			return n, err
		}
		if len(mounts) == 0 {
			return n, nil
		}
		for i := len(mounts) - 1; i >= 0; i-- {
			// EINVAL: it went with another one.
			if err := unix.Unmount(mounts[i], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, os.ErrNotExist) {
				return n, fmt.Errorf("unmount %s: %w", mounts[i], err)
			}
			n++
		}
	}
}

func mountsBelow(dirs []string) ([]string, error) {
	infos, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		for _, dir := range dirs {
			if strings.HasPrefix(m.Mountpoint, dir+"/") {
				return false, false
			}
		}
		return true, false
	})
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	paths := make([]string, len(infos))
	for i, m := range infos {
		paths[i] = m.Mountpoint
	}
	return paths, nil
}

// removeRunDir removes what the engine has in RunDir, and RunDir if nothing else is there.
func removeRunDir(o Options) error {
	for _, name := range []string{"docker.sock", "docker.pid", "exec", "containerd", "state.json"} {
		if err := removeAll(filepath.Join(o.RunDir, name)); err != nil {
			return err
		}
	}
	if err := os.Remove(o.RunDir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the engine's run directory: %w", err)
	}
	return nil
}

// removeAll removes a directory tree unless something is mounted in it: what is mounted may be anyone's.
func removeAll(path string) error {
	mounts, err := mountsBelow([]string{path})
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("remove %s: %s is mounted there; unmount it first", path, mounts[0])
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}
