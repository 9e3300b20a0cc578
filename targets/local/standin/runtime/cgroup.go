package runtime

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// runInGroups runs runc in the cgroups that the container is to have, where cgroups are of the first version. There,
// `runc restore` mounts into the container what it finds its own cgroups to be: outside of them, the restored processes
// would see the node's limits in place of theirs, though they are held to their own.
func runInGroups(cmd *exec.Cmd, bundle string) error {
	dirs, err := groups(bundle)
	if err != nil {
		return fmt.Errorf("find the container's cgroups: %w", err)
	}
	if len(dirs) == 0 {
		return cmd.Run()
	}
	started := make(chan error)
	go func() {
		// Of cgroups of the first version a thread alone may change, and what it starts is where it is. The thread ends
		// with this goroutine, because it stays locked.
		goruntime.LockOSThread()
		err := enter(dirs)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	if err := <-started; err != nil {
		return err
	}
	return cmd.Wait()
}

// groups are the directories of a bundle's cgroups, one for each hierarchy; none with cgroups of the second version.
func groups(bundle string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	var config struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", bundle, err)
	}
	path := config.Linux.CgroupsPath
	if !filepath.IsAbs(path) {
		return nil, nil // systemd's way of writing it, which goes with the second version
	}
	mountinfo, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer mountinfo.Close()
	mounts, err := hierarchies(mountinfo)
	for i := range mounts {
		mounts[i] = filepath.Join(mounts[i], path)
	}
	return mounts, err
}

// hierarchies are where the cgroups of the first version are mounted, all but devices: runc takes a container for one
// that runs already when its cgroup there has a process in it.
func hierarchies(mountinfo io.Reader) ([]string, error) {
	var mounts []string
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		fields, tail, _ := strings.Cut(lines.Text(), " - ")
		head, system := strings.Fields(fields), strings.Fields(tail)
		if len(head) < 5 || len(system) < 3 || system[0] != "cgroup" {
			continue
		}
		options := strings.Split(system[2], ",")
		named := slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "name=") })
		if !named && !slices.Contains(options, "devices") {
			mounts = append(mounts, head[4])
		}
	}
	return mounts, lines.Err()
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
