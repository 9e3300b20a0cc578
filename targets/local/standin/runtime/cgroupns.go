package runtime

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/cgroup"
)

// CRIUName is the name that runc looks CRIU up by.
const CRIUName = "criu"

// criuVariable has CRIU's path, for what takes its name.
const criuVariable = "CEDANA_CRIU"

// CRIU becomes CRIU in a cgroup namespace of the container that it is to restore. With cgroups of the second version a
// container has such a namespace, and without CRIU's cgroup management (which would put the processes where the original
// was) nobody makes it: the restored processes would be in the node's, and see the whole node's cgroups and limits in
// place of their own.
//
// runc starts CRIU, moves it to the container's cgroup, and only then sends it the request: when there is one to read on
// the socket, the namespace that is made is rooted where it has to be. The processes and the cgroup file system that CRIU
// makes have it from there.
func CRIU(args []string) error {
	program := os.Getenv(criuVariable)
	if program == "" {
		return fmt.Errorf("find CRIU: %s is not set", criuVariable)
	}
	if len(args) == 2 && args[0] == "swrk" {
		socket, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("read CRIU's socket %q: %w", args[1], err)
		}
		// The thread that has the namespace is the one that becomes CRIU.
		goruntime.LockOSThread()
		if err := waitReadable(socket); err != nil {
			return fmt.Errorf("wait for runc's request to CRIU: %w", err)
		}
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("make a cgroup namespace: %w", err)
		}
	}
	err := syscall.Exec(program, append([]string{program}, args...), os.Environ())
	return fmt.Errorf("execute %s: %w", program, err)
}

func waitReadable(fd int) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// inCgroupNamespace has runc start this program in CRIU's place, where the container wants a cgroup namespace of its own and
// cgroups are of the second version. dir is made for that.
func inCgroupNamespace(cmd *exec.Cmd, spec *specs.Spec, dir string) error {
	if !wantsCgroupNamespace(spec) || !cgroup.Unified() {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return takeCRIUsName(cmd, self, dir)
}

// takeCRIUsName has a command find a program under CRIU's name. dir is made for it.
func takeCRIUsName(cmd *exec.Cmd, program, dir string) error {
	itself, err := exec.LookPath(CRIUName)
	if err != nil {
		return fmt.Errorf("find CRIU: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make directory for CRIU's name: %w", err)
	}
	if err := os.Symlink(program, filepath.Join(dir, CRIUName)); err != nil {
		return fmt.Errorf("take CRIU's name: %w", err)
	}
	cmd.Env = append(os.Environ(), criuVariable+"="+itself, "PATH="+dir+":"+os.Getenv("PATH"))
	return nil
}

func wantsCgroupNamespace(spec *specs.Spec) bool {
	return spec.Linux != nil && slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.CgroupNamespace && n.Path == ""
	})
}
