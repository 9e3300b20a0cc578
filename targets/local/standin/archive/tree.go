// Package archive writes and reads the standard container checkpoint archive, as podman, containerd and CRI-O make it
// and checkpointctl reads it, and the trees of files inside it.
package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const xattrRecord = "SCHILY.xattr."

// Tree writes the files under dir to w as a tar: a volume as it is. Sockets are left out: tar has no word for them, and
// CRIU makes the sockets of the processes it restores.
func Tree(w io.Writer, dir string) error {
	tw := tar.NewWriter(w)
	t := treeWriter{tw: tw, dir: dir, links: map[inode]string{}}
	if err := t.walk(); err != nil {
		return err
	}
	return tw.Close()
}

type inode struct{ dev, ino uint64 }

type treeWriter struct {
	tw    *tar.Writer
	dir   string
	links map[inode]string
	// special sees every file before it is written and may claim it; nil for none.
	special func(name, path string, stat *unix.Stat_t) (claimed bool, err error)
}

func (t *treeWriter) walk() error {
	return filepath.WalkDir(t.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		name, err := filepath.Rel(t.dir, path)
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return fmt.Errorf("stat %s: %w", path, err)
		}
		if t.special != nil {
			if claimed, err := t.special(name, path, &stat); claimed || err != nil {
				return err
			}
		}
		if err := t.add(name, path, &stat); err != nil {
			return fmt.Errorf("archive %s: %w", path, err)
		}
		return nil
	})
}

func (t *treeWriter) add(name, path string, stat *unix.Stat_t) error {
	h := &tar.Header{
		Name: name, Format: tar.FormatPAX,
		Mode: int64(stat.Mode & 0o7777), Uid: int(stat.Uid), Gid: int(stat.Gid),
		ModTime: time.Unix(stat.Mtim.Unix()),
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, stat.Size
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case unix.S_IFCHR:
		h.Typeflag = tar.TypeChar
	case unix.S_IFBLK:
		h.Typeflag = tar.TypeBlock
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFSOCK:
		return nil
	default:
		return fmt.Errorf("unknown file type %#o", stat.Mode&unix.S_IFMT)
	}
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		h.Devmajor, h.Devminor = int64(unix.Major(stat.Rdev)), int64(unix.Minor(stat.Rdev))
	}
	if h.Typeflag != tar.TypeDir && stat.Nlink > 1 {
		id := inode{stat.Dev, stat.Ino}
		if first, ok := t.links[id]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return t.tw.WriteHeader(h)
		}
		t.links[id] = name
	}
	if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeDir {
		attrs, err := xattrs(path)
		if err != nil {
			return err
		}
		h.PAXRecords = attrs
	}
	if err := t.tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg || h.Size == 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// Exactly Size bytes: a file that nobody should be writing to is cut or found short, never a broken tar.
	if n, err := io.CopyN(t.tw, f, h.Size); err != nil {
		return fmt.Errorf("read %d of %d bytes: %w", n, h.Size, err)
	}
	return nil
}

// xattrs reads the attributes of a regular file or directory that belong to its content; the overlay's own are part of
// how it is stored.
func xattrs(path string) (map[string]string, error) {
	size, err := unix.Llistxattr(path, nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	names := make([]byte, size)
	if size, err = unix.Llistxattr(path, names); err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	records := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:size]), "\x00"), "\x00") {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") ||
			strings.HasPrefix(name, "system.") || name == "security.selinux" {
			continue
		}
		value, err := xattr(path, name)
		if err != nil {
			return nil, err
		}
		records[xattrRecord+name] = value
	}
	return records, nil
}

func xattr(path, name string) (string, error) {
	value := make([]byte, 64<<10) // the kernel's limit
	n, err := unix.Lgetxattr(path, name, value)
	if err != nil {
		return "", fmt.Errorf("read attribute %s: %w", name, err)
	}
	return string(value[:n]), nil
}
