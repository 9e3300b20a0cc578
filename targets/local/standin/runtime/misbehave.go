package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
)

// nodeLog is the standard error of the node's first process: this one's own is the container's.
const nodeLog = "/proc/1/fd/2"

// shows reports whether the wrapper is to show a regression, and says so in the node's log.
func (t target) shows(here fault.Name) bool {
	var to io.Writer = io.Discard
	if t.Regression == here {
		if f, err := os.OpenFile(nodeLog, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			defer f.Close()
			to = f
		}
	}
	log := slog.New(slog.NewTextHandler(to, nil)).With("component", "runtime", "pod_uid", t.PodUID, "container", t.Container)
	return t.Regression.Is(here, log)
}

// startsCold reports whether a container is to be started afresh in place of its restore.
func (t target) startsCold(marks markers) bool {
	if t.shows(fault.ColdStart) {
		return true
	}
	earlier, _ := filepath.Glob(marks.path(kindContainer, "*")) // the pattern is well-formed
	return len(earlier) > 0 && t.shows(fault.OneContainerCold)
}

// misbehave spoils the process that was just restored, now or a while later.
func (t target) misbehave(pidFile string) error {
	spoil := map[fault.Name]func(pid int) error{
		fault.FileOffsetReset: func(pid int) error { return eachDescriptor(pid, rewind) },
		fault.NotListening:    func(pid int) error { return eachDescriptor(pid, stopListening) },
		fault.TimerStops:      func(pid int) error { return eachDescriptor(pid, disarm) },
		fault.RestoredCrashes: func(pid int) error { return signalLater(pid, "8s", "KILL") },
		fault.ClockStops:      func(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) },
		fault.ReadinessFlaps: func(pid int) error {
			return signalLater(pid, strings.Fields(strings.Repeat("1500ms STOP 2500ms CONT ", 5))...)
		},
	}[t.Regression]
	if spoil == nil || !t.shows(t.Regression) {
		return nil
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return fmt.Errorf("misbehave: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = spoil(pid)
	}
	if err != nil {
		return fmt.Errorf("misbehave: %w", err)
	}
	return nil
}

// eachDescriptor calls do with a duplicate of each of a process's descriptors, which shares offset, socket and timer
// with the original.
func eachDescriptor(pid int, do func(fd int) error) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
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
