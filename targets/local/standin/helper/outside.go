package helper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/cgroup"
	"github.com/cedana/cedana-e2e/targets/local/standin/thread"
)

// outsideGroup is the cgroup for dumps where there is one hierarchy.
const outsideGroup = cgroup.Root + "/cedana"

// startOutside starts a command in no cgroup of the helper's pod. When the helper's container is killed, the container
// runtime kills all that is in its cgroup, and a CRIU killed in the middle leaves its code in the processes that it
// dumps. Outside, the dump comes to its end, and the next helper thaws the pod.
func startOutside(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if cgroup.Unified() {
		return startInGroup(cmd, outsideGroup)
	}
	return thread.Apart(func() error {
		leave()
		return cmd.Start()
	})
}

func startInGroup(cmd *exec.Cmd, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup for the dump: %w", err)
	}
	group, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open cgroup for the dump: %w", err)
	}
	defer group.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	return cmd.Start()
}

// leave moves this thread to the root of every hierarchy.
func leave() {
	hierarchies, err := filepath.Glob(filepath.Join(cgroup.Root, "*", "tasks"))
	if err != nil || len(hierarchies) == 0 {
		slog.Warn("no cgroups to leave: a dump would not outlive the helper", "looked_in", cgroup.Root)
	}
	for _, tasks := range hierarchies {
		if err := os.WriteFile(tasks, []byte(strconv.Itoa(unix.Gettid())), 0); err != nil {
			slog.Warn("leaving the pod's cgroup failed: the dump would not outlive the helper", "error", err)
		}
	}
}

// waitForDumps waits for dumps of these containers that an earlier helper has started: CRIU, when it ends, puts a
// cgroup that it found frozen back to that.
func waitForDumps(ctx context.Context, proc string, ids []string) error {
	for {
		pid, err := findDump(proc, ids)
		if err != nil || pid == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the dump by process %d to end: %w", pid, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// findDump finds a `runc … checkpoint … ID` of one of the containers; 0 means that there is none.
func findDump(proc string, ids []string) (int, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join(proc, entry.Name(), "cmdline"))
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if slices.Contains(args, "checkpoint") && slices.Contains(ids, args[len(args)-1]) {
			return pid, nil
		}
	}
	return 0, nil
}
