package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Overlay is where the parts of an overlay mount are: what was written above, the image's layers (topmost first) below.
type Overlay struct {
	Upper  string
	Lowers []string
}

// RootOverlay finds the overlay behind the root of a mount namespace, from a /proc/PID/mountinfo.
func RootOverlay(table io.Reader) (Overlay, error) {
	// Of several mounts on "/", the last is on top.
	roots, err := mountinfo.GetMountsFromReader(table, func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != "/", false })
	if err != nil {
		return Overlay{}, fmt.Errorf("read mountinfo: %w", err)
	}
	if len(roots) == 0 {
		return Overlay{}, errors.New("no root in mountinfo")
	}
	root := roots[len(roots)-1]
	if root.FSType != "overlay" {
		return Overlay{}, fmt.Errorf("the root file system is %s, and only an overlay's changes can be told from its image", root.FSType)
	}
	var o Overlay
	for option := range strings.SplitSeq(root.VFSOptions, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "upperdir":
			o.Upper = unescape(value)
		case "lowerdir":
			for lower := range strings.SplitSeq(value, ":") {
				if lower != "" { // "::" sets data-only layers apart
					o.Lowers = append(o.Lowers, unescape(lower))
				}
			}
		}
	}
	if !filepath.IsAbs(o.Upper) {
		return Overlay{}, fmt.Errorf("the root overlay's upperdir is %q, want an absolute path", o.Upper)
	}
	return o, nil
}

// unescape undoes the octal escapes of the options in /proc/PID/mountinfo, which the library leaves as they are.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\054`, ",").Replace(s)
}

// Diff writes what was added or changed in the overlay to w as a tar and returns the names of what was deleted, as
// podman keeps them in rootfs-diff.tar and deleted.files: the kernel's whiteouts (character device 0:0) become names,
// and so do the files of the image that an opaque directory hides.
func (o Overlay) Diff(w io.Writer) (deleted []string, err error) {
	deleted = []string{} // an empty list, not null, in deleted.files
	opaque := map[string]bool{}
	tw := tar.NewWriter(w)
	t := treeWriter{tw: tw, dir: o.Upper, links: map[inode]string{}}
	t.special = func(name, path string, stat *unix.Stat_t) (bool, error) {
		switch stat.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			if stat.Rdev == 0 {
				deleted = append(deleted, name)
				return true, nil
			}
		case unix.S_IFDIR:
			value, err := overlayAttr(path, "opaque")
			if err != nil {
				return false, err
			}
			// What is below an opaque directory hides the image's files too.
			if value == "y" || opaque[filepath.Dir(name)] {
				opaque[name] = true
				hidden, err := o.hidden(name)
				if err != nil {
					return false, err
				}
				deleted = append(deleted, hidden...)
			}
			return false, unsupported(path, "redirect")
		case unix.S_IFREG:
			return false, unsupported(path, "metacopy")
		}
		return false, nil
	}
	if err := t.walk(); err != nil {
		return nil, err
	}
	sort.Strings(deleted)
	return deleted, tw.Close()
}

// hidden names what the image's layers have in a directory and the opaque one above does not. It may name a file that
// a middle layer had deleted already: deleting that again does no harm.
func (o Overlay) hidden(dir string) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	for _, lower := range o.Lowers {
		entries, err := os.ReadDir(filepath.Join(lower, dir))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read image directory: %w", err)
		}
		for _, entry := range entries {
			name := filepath.Join(dir, entry.Name())
			if seen[name] {
				continue
			}
			seen[name] = true
			if _, err := os.Lstat(filepath.Join(o.Upper, name)); errors.Is(err, os.ErrNotExist) {
				names = append(names, name)
			} else if err != nil {
				return nil, fmt.Errorf("stat changed file: %w", err)
			}
		}
	}
	return names, nil
}

// overlayAttr reads an attribute of overlayfs; "" when the file has none.
func overlayAttr(path, name string) (string, error) {
	for _, space := range []string{"trusted.overlay.", "user.overlay."} {
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(path, space+name, value)
		switch {
		case err == nil:
			// An empty value says as much as "y" for metacopy.
			return string(value[:n]) + strings.Repeat("y", boolInt(n == 0)), nil
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM):
		default:
			return "", fmt.Errorf("read attribute %s of %s: %w", space+name, path, err)
		}
	}
	return "", nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// unsupported refuses what overlayfs stores as a pointer to a lower layer: a copy of the upper layer would lose data.
func unsupported(path, attr string) error {
	value, err := overlayAttr(path, attr)
	if err != nil {
		return err
	}
	if value != "" {
		return fmt.Errorf("%s is stored as a reference to a lower layer (overlay feature %s): turn that off for the node's snapshotter", path, attr)
	}
	return nil
}
