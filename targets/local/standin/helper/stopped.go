package helper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// refuseStopped refuses a container with a process that is stopped (SIGSTOP, a shell's stopped job), where cgroups are of
// the first version: once frozen there, the kernel lets nobody trace it, and CRIU would wait for that, with the pod
// standing still, until its time is over. Frozen by a cgroup of the second version it can be traced.
func refuseStopped(proc string, containers []Container) error {
	for _, c := range containers {
		if c.Freezer.V2 {
			continue
		}
		pids, err := os.ReadFile(filepath.Join(c.Freezer.Dir, "cgroup.procs"))
		if err != nil {
			return fmt.Errorf("list processes of container %s: %w", c.Name, err)
		}
		for _, pid := range strings.Fields(string(pids)) {
			stat, err := os.ReadFile(filepath.Join(proc, pid, "stat"))
			if errors.Is(err, fs.ErrNotExist) {
				continue // it has ended
			}
			if err != nil {
				return fmt.Errorf("look at processes of container %s: %w", c.Name, err)
			}
			// PID (NAME) STATE ...; the name may have anything in it.
			end := strings.LastIndexByte(string(stat), ')') + 1
			if name, state := stat[:end], string(stat[end:]); strings.HasPrefix(state, " T") {
				return fmt.Errorf("container %s has a stopped process, %s: CRIU cannot dump one that is frozen by a cgroup of version 1; let it go on (kill -CONT), or use a node with cgroups of version 2",
					c.Name, name)
			}
		}
	}
	return nil
}
