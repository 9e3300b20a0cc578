// Command probe is the only program of a throw-away image. "wait 60" keeps a container up for that many seconds; "check", run in
// it by exec, does what a cluster node does in its container and prints as JSON what does not work.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type report struct {
	Problems []string `json:"problems"`
	// Bounding is a set of bits in hexadecimal, LastCapability the highest bit that the kernel knows.
	Bounding       string `json:"bounding"`
	LastCapability int    `json:"lastCapability"`
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "wait" {
		seconds, err := strconv.Atoi(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, "Error: read the time to wait:", err)
			os.Exit(1)
		}
		time.Sleep(time.Duration(seconds) * time.Second)
		return
	}
	var r report
	for _, check := range []struct {
		what string
		do   func() error
	}{
		{"mount file systems, which a node does for every pod", mounts},
		{"make cgroups, which a node does for every pod", cgroups},
		{"write to /proc/sys, which kube-proxy does", sysctl},
		{"read /dev/kmsg, without which kubelet does not start", kmsg},
		{"read its capabilities", func() (err error) { r.Bounding, err = bounding(); return err }},
		{"read the kernel's capabilities", func() (err error) { r.LastCapability, err = lastCapability(); return err }},
	} {
		if err := check.do(); err != nil {
			r.Problems = append(r.Problems, fmt.Sprintf("a privileged container cannot %s: %v", check.what, err))
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// mounts mounts a tmpfs and on it an overlay, as containerd does, and shares the root's mounts, as k3d does.
func mounts() error {
	const base = "/tmp/probe"
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", base, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	defer func() { _ = syscall.Unmount(base, syscall.MNT_DETACH) }()
	for _, dir := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil {
			return err
		}
	}
	merged := filepath.Join(base, "merged")
	if err := syscall.Mount("overlay", merged, "overlay", 0,
		fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	defer func() { _ = syscall.Unmount(merged, syscall.MNT_DETACH) }()
	if err := os.WriteFile(filepath.Join(merged, "file"), nil, 0o644); err != nil {
		return fmt.Errorf("write to overlay: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_SHARED|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return nil
}

// cgroups makes a group in every hierarchy that kubelet needs.
func cgroups() error {
	const root = "/sys/fs/cgroup"
	dirs := []string{"cpu", "cpuset", "memory"}
	if data, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil {
		for _, controller := range append(dirs, "pids") {
			if !strings.Contains(" "+string(data), " "+controller) {
				return fmt.Errorf("controller %s is not in %s/cgroup.controllers", controller, root)
			}
		}
		dirs = []string{"."}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, dir := range dirs {
		group := filepath.Join(root, dir, "cedana-e2e-probe")
		if err := os.Mkdir(group, 0o755); err != nil {
			return err
		}
		if err := os.Remove(group); err != nil {
			return err
		}
	}
	return nil
}

// sysctl writes a setting of its own network namespace back as it is.
func sysctl() error {
	const path = "/proc/sys/net/ipv4/ip_forward"
	value, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, value, 0o644)
}

func kmsg() error {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// bounding returns the set of capabilities that a process here can ever have, in hexadecimal.
func bounding() (string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.New("no line CapBnd in /proc/self/status")
}

// lastCapability returns the number of the last capability that the kernel knows.
func lastCapability() (int, error) {
	data, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}
