package helper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/local/standin/criu"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
)

const (
	ownNamespace  = "/proc/self/ns/mnt"
	nodeNamespace = "/proc/1/ns/mnt"
)

// onNode reports whether this process is in the node's mount namespace already.
func onNode() (bool, error) {
	if os.Getpid() == 1 {
		return false, errors.New("this process is number 1 of its PID namespace: the helper needs hostPID, to see the node's processes")
	}
	own, err := os.Readlink(ownNamespace)
	if err != nil {
		return false, fmt.Errorf("read mount namespace: %w", err)
	}
	node, err := os.Readlink(nodeNamespace)
	if err != nil {
		return false, fmt.Errorf("read the node's mount namespace: %w (the helper has to be privileged)", err)
	}
	return own == node, nil
}

// install puts this binary on the node, under the names that containerd and its shim look for.
func install(root string) error {
	if err := copySelf(filepath.Join(root, layout.Binary)); err != nil {
		return fmt.Errorf("install the stand-in on the node: %w", err)
	}
	for _, link := range []string{layout.Runtime, layout.Shim} {
		if err := replaceLink(layout.Binary, filepath.Join(root, link)); err != nil {
			return fmt.Errorf("install the stand-in on the node: %w", err)
		}
	}
	return nil
}

// installCA puts the certificates that this container was told to trust on the node, where the container's files are
// not to be seen, and makes what this process executes there trust them.
func installCA(root string) error {
	from := os.Getenv(layout.CAVariable)
	if from == "" {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read the propagator's certificate authority: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(root, layout.CAFile), data, 0o644); err != nil {
		return err
	}
	return layout.Config{CAFile: layout.CAFile}.Trust()
}

// copySelf replaces path in one step: a shim may be started from it at any moment.
func copySelf(path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, self)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	return err
}

func replaceLink(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	return renameio.Symlink(target, path)
}

// enterNode turns this process into the installed binary in the node's mount namespace; it returns only on failure.
// There containers' mounts, runc's state and kubelet's volumes are where runc and CRIU expect them. A mount namespace
// belongs to a thread, and executing from that thread makes it the process.
func enterNode(args []string) error {
	runtime.LockOSThread()
	namespace, err := os.Open(nodeNamespace)
	if err != nil {
		return fmt.Errorf("enter the node: %w", err)
	}
	defer namespace.Close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter the node: unshare: %w", err)
	}
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the node: setns: %w", err)
	}
	err = syscall.Exec(layout.Binary, append([]string{"cedana", "helper"}, args...), os.Environ())
	return fmt.Errorf("enter the node: execute %s: %w", layout.Binary, err)
}

// configureCRIU writes CRIU's configuration unless the node has one of its own, which then has to be good enough.
func configureCRIU(path string) error {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read CRIU's configuration: %w", err)
	}
	if err == nil && !strings.HasPrefix(string(data), criu.ConfigHeader) {
		if missing := criu.MissingOptions(string(data)); len(missing) > 0 {
			return fmt.Errorf("%s on this node lacks %s: a pod with an open connection could not be restored", path, strings.Join(missing, " and "))
		}
		return nil
	}
	if string(data) == criu.Config {
		return nil
	}
	return atomicfile.Write(path, []byte(criu.Config), 0o644)
}
