// Package layout says where the stand-in keeps things on a node. Helper, shim and runtime wrapper are one binary that
// meets itself again only through these paths.
package layout

import (
	"os"
	"path/filepath"
)

const (
	// LibDir holds what the helper installs.
	LibDir = "/usr/local/lib/cedana"
	// Binary is the stand-in itself.
	Binary = LibDir + "/cedana"
	// RuntimeDir holds nothing but a link named runc, so that it can stand first in a shim's PATH.
	RuntimeDir = LibDir + "/bin"
	// Runtime is that link.
	Runtime = RuntimeDir + "/runc"
	// CAFile has the propagator's certificate authority, where the chart was given one.
	CAFile = LibDir + "/ca.crt"
	// Shim is what containerd's runtime "cedana" names as its runtime_path.
	Shim = "/usr/local/bin/cedana-shim-runc-v2"

	// StateDir goes with the node's boot: what is in it is about running processes.
	StateDir = "/run/cedana"
	// ConfigFile is Config as JSON, 0600: it holds the token.
	ConfigFile = StateDir + "/config.json"
	// FrozenDir has a journal entry for each pod that is being held still.
	FrozenDir = StateDir + "/frozen"
	// RestoredDir has POD_UID/ with a file for each container and volume that was restored, so that a container
	// restarted later in the same pod starts cold, as a restart always does.
	RestoredDir = StateDir + "/restored"
	// StartedDir has a file for each container that `create` has already set running, for `start` to swallow.
	StartedDir = StateDir + "/started"

	// WorkDir is for checkpoints on their way to and from the propagator. On disk, not in /run: memory images in a
	// tmpfs would cost the node's memory a second time.
	WorkDir = "/var/lib/cedana"
	// RestorePrefix begins the names of the directories there that restores are done in.
	RestorePrefix = "restore-"

	// CRIUConfig is read by runc for every dump and restore.
	CRIUConfig = "/etc/criu/runc.conf"

	// KubeletPods holds POD_UID/volumes.
	KubeletPods = "/var/lib/kubelet/pods"
)

// SearchPath is where a node's own runc, criu and containerd shim may be; k3s keeps its own apart.
var SearchPath = []string{
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/bin/aux",
	"/var/lib/rancher/k3s/data/current/bin", "/var/lib/rancher/k3s/data/cni",
}

// FindExecutable returns the first executable file of that name in PATH and then in SearchPath that is not in
// RuntimeDir, or "".
func FindExecutable(name string) string {
	return findExecutable(name, append(filepath.SplitList(os.Getenv("PATH")), SearchPath...))
}

func findExecutable(name string, dirs []string) string {
	for _, dir := range dirs {
		if dir == "" || filepath.Clean(dir) == RuntimeDir {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// EmptyDir is where kubelet keeps an emptyDir volume of a pod.
func EmptyDir(podUID, volume string) string {
	return filepath.Join(KubeletPods, podUID, "volumes", "kubernetes.io~empty-dir", volume)
}
