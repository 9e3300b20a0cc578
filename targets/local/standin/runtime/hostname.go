package runtime

import (
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/thread"
)

// hostName is that of a bundle's pod, in the UTS namespace that the bundle names; empty for a pod on its node's host
// network, which has the node's.
func hostName(spec *specs.Spec) (name string, err error) {
	if spec.Linux == nil {
		return "", nil
	}
	for _, n := range spec.Linux.Namespaces {
		if n.Type == specs.UTSNamespace && n.Path != "" {
			err = inUTS(n.Path, func() error {
				name, err = os.Hostname()
				return err
			})
		}
	}
	return name, err
}

// nameHost gives a restored process the host name of its pod: CRIU has set that of the original, in the namespace of the pod.
func nameHost(in Invocation, name string) error {
	if name == "" {
		return nil
	}
	pid, err := in.Pid()
	if err != nil {
		return fmt.Errorf("name the host: %w", err)
	}
	return SetHostName(pid, name)
}

// SetHostName sets the host name that a process sees.
func SetHostName(pid int, name string) error {
	path := fmt.Sprintf("/proc/%d/ns/uts", pid)
	return inUTS(path, func() error { return unix.Sethostname([]byte(name)) })
}

// inUTS does something in a UTS namespace.
func inUTS(path string, do func() error) error {
	namespace, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open UTS namespace: %w", err)
	}
	defer namespace.Close()
	return thread.Apart(func() error {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("enter UTS namespace %s: %w", path, err)
		}
		return do()
	})
}
