package cleanup

import (
	"path/filepath"
	"syscall"

	"github.com/moby/sys/mountinfo"
)

// mountsBelow lists the mount points below dir in the order they were mounted.
func mountsBelow(dir string) ([]string, error) {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	mounts, err := mountinfo.GetMounts(below(dir))
	if err != nil {
		return nil, err
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.Mountpoint)
	}
	return points, nil
}

// below skips every mount but those below dir; dir itself is skipped, too.
func below(dir string) mountinfo.FilterFunc {
	return func(m *mountinfo.Info) (skip, stop bool) { return !within(dir, m.Mountpoint), false }
}

// unmount takes the mount out of the tree at once, even when a process still uses it.
func unmount(point string) error { return syscall.Unmount(point, syscall.MNT_DETACH) }
