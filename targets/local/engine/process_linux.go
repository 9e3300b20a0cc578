package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
)

// mark is the environment variable that tells the processes of a private engine (both daemons, shims, proxies) from
// all others: pid files go stale, and pids are used again.
func mark(runDir string) string { return "CEDANA_E2E_PRIVATE_ENGINE=" + runDir }

// marked says whether the process has the mark. A process that ended, a zombie included, has not.
func marked(pid int, runDir string) bool {
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	return bytes.Contains(append([]byte{0}, env...), append(append([]byte{0}, mark(runDir)...), 0))
}

// isOurs says whether the pid is that of a living process of the engine's with that name.
func isOurs(pid int, runDir, name string) bool {
	return pid > 0 && commandOf(pid) == name && marked(pid, runDir)
}

func commandOf(pid int) string {
	comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(comm))
}

// markedProcesses lists the engine's processes.
func markedProcesses(runDir string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && marked(pid, runDir) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// lives says whether any process of the engine, or of a container of its, is there.
func lives(o Options) (bool, error) {
	pids, err := markedProcesses(o.RunDir)
	if err != nil || len(pids) > 0 {
		return len(pids) > 0, err
	}
	groups, err := cgroupDirs(instance(o.RunDir))
	if err != nil {
		return false, err
	}
	for _, group := range groups {
		if pids, err := processesIn(group); err != nil || len(pids) > 0 {
			return len(pids) > 0, err
		}
	}
	return false, nil
}

// signal sends a signal if the process still is what it is taken for. FindProcess holds on to the process (a pidfd,
// where the kernel has them), so that nothing can come between the question and the signal.
func signal(pid int, sig os.Signal, still func() bool) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("find process %d: %w", pid, err)
	}
	defer func() { _ = p.Release() }()
	if !still() {
		return nil
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to process %d: %w", sig, pid, err)
	}
	return nil
}

// terminate ends the engine's processes of that name: asks, then kills.
func terminate(ctx context.Context, o Options, name string, patience time.Duration) error {
	pids, err := markedProcesses(o.RunDir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		ours := func() bool { return isOurs(pid, o.RunDir, name) }
		if !ours() {
			continue
		}
		if err := signal(pid, syscall.SIGTERM, ours); err != nil {
			return err
		}
		deadline := time.Now().Add(patience)
		for ours() && time.Now().Before(deadline) {
			if err := sleep(ctx, 20*time.Millisecond); err != nil {
				return fmt.Errorf("wait for %s (pid %d) to end: %w", name, pid, err)
			}
		}
		if err := signal(pid, syscall.SIGKILL, ours); err != nil {
			return err
		}
	}
	return nil
}

// killAll kills every process of the engine and of its containers and returns how many it found. It returns when none
// is left.
func killAll(ctx context.Context, o Options) (int, error) {
	found := map[int]bool{}
	for {
		pids, err := markedProcesses(o.RunDir)
		if err != nil {
			return len(found), err
		}
		for _, pid := range pids {
			if err := signal(pid, syscall.SIGKILL, func() bool { return marked(pid, o.RunDir) }); err != nil {
				return len(found), err
			}
		}
		groups, err := cgroupDirs(instance(o.RunDir))
		if err != nil {
			return len(found), err
		}
		for _, group := range groups {
			contained, err := processesIn(group)
			if err != nil {
				return len(found), err
			}
			for _, pid := range contained {
				if err := signal(pid, syscall.SIGKILL, func() bool { return inGroup(group, pid) }); err != nil {
					return len(found), err
				}
			}
			if len(contained) > 0 {
				thaw(group)
			}
			pids = append(pids, contained...)
		}
		if len(pids) == 0 {
			return len(found), nil
		}
		for _, pid := range pids {
			found[pid] = true
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return len(found), fmt.Errorf("wait for processes of the private engine to end (%d left, pid %d among them): %w", len(pids), pids[0], err)
		}
	}
}

// cgroupDirs lists the cgroups below the engine's parent, in every hierarchy, deepest first.
func cgroupDirs(parent string) ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	var dirs []string
	for _, m := range mounts {
		var below []string
		err := filepath.WalkDir(filepath.Join(m.Mountpoint, parent), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // never was, or goes away while we look
				return nil
			}
			if err == nil && d.IsDir() {
				below = append(below, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list cgroups: %w", err)
		}
		for i := len(below) - 1; i >= 0; i-- {
			dirs = append(dirs, below[i])
		}
	}
	return dirs, nil
}

func processesIn(group string) ([]int, error) {
	data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil, nil // it is gone; or it is a threaded group, whose processes its parent lists
	}
	if err != nil {
		return nil, fmt.Errorf("list processes of cgroup: %w", err)
	}
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("list processes of cgroup %s: %w", group, err)
		}
		if pid > 0 && commandOf(pid) != "" {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func inGroup(group string, pid int) bool {
	pids, err := processesIn(group)
	if err != nil {
		return false
	}
	for _, p := range pids {
		if p == pid {
			return true
		}
	}
	return false
}

// thaw lets frozen processes go, since they do not die of a signal in cgroup v1. A checkpoint that was cut short
// leaves such. Which of the two files is there depends on the hierarchy.
func thaw(group string) {
	for file, value := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
		_ = os.WriteFile(filepath.Join(group, file), []byte(value), 0)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
