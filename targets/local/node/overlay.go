package node

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/cedana/cedana-e2e/targets/local/image"
)

// merged is where a path of the node really is. Debian's /bin, /sbin, /lib and /lib64 are links into /usr, and an
// engine unpacks each layer by itself: a layer with a directory /bin would put it in the place of the link, and
// every program in /usr/bin would be gone from /bin.
func merged(file string) string {
	file = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(file)), "/")
	first, _, _ := strings.Cut(file, "/")
	switch first {
	case "bin", "sbin", "lib", "lib64":
		return "usr/" + file
	}
	for _, link := range []struct{ from, to string }{{"var/run", "run"}, {"var/lock", "run/lock"}} {
		if rest, ok := strings.CutPrefix(file, link.from); ok && (rest == "" || rest[0] == '/') {
			return link.to + rest
		}
	}
	return file
}

// rootfs in the repository has the files that are laid over Debian in both flavours.
const rootfs = "targets/local/node/rootfs"

// overlay are the entries of a directory of static files, where they belong on the node.
func overlay(dir string) ([]image.Entry, error) {
	entries, err := image.TreeEntries(dir)
	if err != nil {
		return nil, err
	}
	kept := entries[:0]
	for _, e := range entries {
		if e.Path = merged(e.Path); e.Mode&fs.ModeDir != 0 && isLinkInBase(e.Path) {
			continue
		}
		kept = append(kept, e)
	}
	return kept, nil
}

// isLinkInBase reports directories that merging leaves without meaning: their parent is made anyway.
func isLinkInBase(dir string) bool { return dir == "usr" || dir == "run" }

// config of the container, as the official k3s image has it, so that k3d finds what it expects. The volumes are
// essential: overlayfs on overlayfs fails with `invalid argument`.
func config(env ...string) v1.Config {
	return v1.Config{
		Entrypoint: []string{"/bin/k3s"},
		Cmd:        []string{"agent"},
		Env: append([]string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/bin/aux",
			"CRI_CONFIG_FILE=/var/lib/rancher/k3s/agent/etc/crictl.yaml",
		}, env...),
		Volumes: map[string]struct{}{
			"/var/lib/kubelet":     {},
			"/var/lib/rancher/k3s": {},
			"/var/lib/cni":         {},
			"/var/log":             {},
		},
	}
}
