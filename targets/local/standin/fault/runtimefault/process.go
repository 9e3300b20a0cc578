package runtimefault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/cgroup"
	"github.com/cedana/cedana-e2e/targets/local/standin/thread"
)

// eachDescriptor calls do with a duplicate of each of a process's descriptors, which shares offset, socket and timer
// with the original.
func eachDescriptor(pid int, do func(fd int) error) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(process) }()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			return err
		}
		fd, err := unix.PidfdGetfd(process, number, 0)
		if errors.Is(err, unix.EBADF) {
			continue // closed meanwhile
		}
		if err != nil {
			return err
		}
		if err := errors.Join(do(fd), unix.Close(fd)); err != nil {
			return err
		}
	}
	return nil
}

func rewind(fd int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return err
	}
	_, err := unix.Seek(fd, 0, io.SeekStart)
	return err
}

func stopListening(fd int) error {
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return nil // no socket, or another kind
	}
	// Every packet to it is dropped. Were it shut down, the process would notice and end, or fill its log.
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]})
}

// showNodeCgroups mounts the node's cgroups over the process's own view of them, whichever version they are of.
func showNodeCgroups(pid int) error {
	nodes, err := unix.OpenTree(unix.AT_FDCWD, cgroup.Root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("take the node's cgroups: %w", err)
	}
	defer func() { _ = unix.Close(nodes) }()
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return err
	}
	defer namespace.Close()
	return thread.Apart(func() error {
		// A thread that shares its root with others cannot go elsewhere.
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS)); err != nil {
			return fmt.Errorf("enter the process's mounts: %w", err)
		}
		return unix.MoveMount(nodes, "", unix.AT_FDCWD, cgroup.Root, unix.MOVE_MOUNT_F_EMPTY_PATH)
	})
}

func disarm(fd int) error {
	err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{}, nil)
	if errors.Is(err, unix.EINVAL) {
		return nil // no timer
	}
	return err
}

// SignalLaterCommand is the sub-command by which the wrapper starts itself to send signals when it has ended.
const SignalLaterCommand = "signal-later"

// signalLater sends signals to a process in the background, each after a wait: "8s", "KILL". It holds on to the process
// itself and not to its number, which may be another's by then.
func signalLater(pid int, waitsAndSignals ...string) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	handle := os.NewFile(uintptr(process), "process")
	defer handle.Close()
	cmd := exec.Command("/proc/self/exe", append([]string{SignalLaterCommand}, waitsAndSignals...)...)
	cmd.Args[0] = "cedana"
	cmd.ExtraFiles = []*os.File{handle}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// SignalLater is the background process of signalLater.
func SignalLater(_ context.Context, args []string) error {
	const process = 3 // the first of a command's ExtraFiles
	for i := 0; i+1 < len(args); i += 2 {
		wait, err := time.ParseDuration(args[i])
		if err != nil {
			return err
		}
		time.Sleep(wait)
		if err := unix.PidfdSendSignal(process, unix.SignalNum("SIG"+args[i+1]), nil, 0); err != nil {
			return fmt.Errorf("send %s: %w", args[i+1], err)
		}
	}
	return nil
}
