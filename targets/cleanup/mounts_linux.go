package cleanup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// mountsBelow lists the mount points below dir in the order they were mounted.
func mountsBelow(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return mountPoints(string(data), dir)
}

// mountPoints reads the format of proc_pid_mountinfo(5): the mount point is the fifth field, with octal escapes.
func mountPoints(mountinfo, dir string) ([]string, error) {
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			return nil, fmt.Errorf("read mountinfo: line %q has no mount point", strings.TrimSpace(line))
		}
		if point := unescape(fields[4]); within(dir, point) {
			points = append(points, point)
		}
	}
	return points, nil
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// unmount takes the mount out of the tree at once, even when a process still uses it.
func unmount(point string) error { return syscall.Unmount(point, syscall.MNT_DETACH) }
