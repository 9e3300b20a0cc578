package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// ErrUnknown is returned by [Signal] where the holder cannot be told for certain: it is in another container or on another
// machine, or this system does not say what a process has open.
var ErrUnknown = errors.New("its process cannot be told for certain")

var processOf = regexp.MustCompile(`\(process ([0-9]+), since `)

// Signal sends a signal to the process that has the lock. Nobody having it is no error. The process's id is what it has
// written into the file, and is believed where that process has the file open.
func Signal(path string, sig os.Signal) error {
	holder, err := Holder(path)
	if err != nil || holder == "" {
		return err
	}
	match := processOf.FindStringSubmatch(holder)
	if match == nil {
		return fmt.Errorf("end what holds %s: %w", path, ErrUnknown)
	}
	pid, err := strconv.Atoi(match[1])
	if err != nil || pid == os.Getpid() {
		return fmt.Errorf("end what holds %s: %w", path, ErrUnknown)
	}
	// Found before it is looked at: the process that is signalled is the one that was looked at, not a later one of that id.
	process, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("find process %d: %w", pid, err)
	}
	// Nothing is lost with it.
	defer func() { _ = process.Release() }()
	if !hasOpen(pid, path) {
		return fmt.Errorf("end process %d, which may hold %s: %w", pid, path, ErrUnknown)
	}
	if err := process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to process %d: %w", sig, pid, err)
	}
	return nil
}

// hasOpen says whether a process has the file open, as far as this user may know.
func hasOpen(pid int, path string) bool {
	file, err := os.Stat(path)
	if err != nil {
		return false
	}
	open, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	for _, one := range open {
		if other, err := os.Stat(one); err == nil && os.SameFile(file, other) {
			return true
		}
	}
	return false
}
