package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/thread"
)

// runInGroups runs runc in the cgroups that the container is to have, where cgroups are of the first version. There,
// `runc restore` mounts into the container what it finds its own cgroups to be: outside of them, the restored processes
// would see the node's limits in place of theirs, though they are held to their own.
func runInGroups(cmd *exec.Cmd, spec *specs.Spec) error {
	dirs, err := groups(spec)
	if err != nil {
		return fmt.Errorf("find the container's cgroups: %w", err)
	}
	if len(dirs) == 0 {
		return cmd.Run()
	}
	err = thread.Apart(func() error {
		if err := enter(dirs); err != nil {
			return err
		}
		return cmd.Start()
	})
	if err != nil {
		return err
	}
	return cmd.Wait()
}

// groups are the directories of a bundle's cgroups, one for each hierarchy; none with cgroups of the second version.
func groups(spec *specs.Spec) ([]string, error) {
	if spec.Linux == nil {
		return nil, nil
	}
	path := spec.Linux.CgroupsPath
	if !filepath.IsAbs(path) {
		return nil, nil // systemd's way of writing it, which goes with the second version
	}
	mounts, err := mountinfo.GetMounts(hierarchies)
	if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	var dirs []string
	for _, m := range mounts {
		dirs = append(dirs, filepath.Join(m.Mountpoint, path))
	}
	return dirs, nil
}

// hierarchies keeps where the cgroups of the first version are mounted, all but devices: runc takes a container for one
// that runs already when its cgroup there has a process in it.
func hierarchies(m *mountinfo.Info) (skip, stop bool) {
	options := strings.Split(m.VFSOptions, ",")
	named := slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "name=") })
	return m.FSType != "cgroup" || named || slices.Contains(options, "devices"), false
}

// enter makes the cgroups and moves this thread into them.
func enter(dirs []string) error {
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make cgroup: %w", err)
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(dir, file); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "tasks"), []byte(strconv.Itoa(unix.Gettid())), 0); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// inherit gives a cgroup what its parent has: a new one has no CPU and no memory, and can have no process.
func inherit(dir, file string) error {
	own, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // of another hierarchy
	}
	if err != nil || len(bytes.TrimSpace(own)) > 0 {
		return err
	}
	parents, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), parents, 0)
}
