package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Delete removes names (as Diff gave them) under dir. What is not there is fine.
func Delete(dir string, names []string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer root.Close()
	for _, name := range names {
		name = clean(name)
		if name == "." {
			return fmt.Errorf("delete from %s: refusing its root", dir)
		}
		if err := root.RemoveAll(name); err != nil {
			return fmt.Errorf("delete %s from %s: %w", name, dir, err)
		}
	}
	return nil
}

// Empty removes all that is in dir.
func Empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return Delete(dir, names)
}

// Extract lays a tar that Tree or Diff wrote over dir, with owners, modes, times and attributes. Nothing is written
// outside dir, whatever links the tar or dir hold.
func Extract(dir string, r io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer root.Close()
	e := extractor{root: root}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read files for %s: %w", dir, err)
		}
		if err := e.entry(h, tr); err != nil {
			return fmt.Errorf("write %s in %s: %w", h.Name, dir, err)
		}
	}
	// Last and from the inside out: writing into a directory changes its time.
	for i := len(e.dirs) - 1; i >= 0; i-- {
		d := e.dirs[i]
		if err := root.Chtimes(d.name, d.modified, d.modified); err != nil {
			return fmt.Errorf("set time of %s in %s: %w", d.name, dir, err)
		}
	}
	return nil
}

type extractor struct {
	root *os.Root
	dirs []dirTime
}

type dirTime struct {
	name     string
	modified time.Time
}

// clean makes a tar's name one that os.Root takes: relative, without dots, "." for the root itself.
func clean(name string) string {
	if c := strings.TrimPrefix(path.Clean("/"+name), "/"); c != "" {
		return c
	}
	return "."
}

func (e *extractor) entry(h *tar.Header, content io.Reader) error {
	name := clean(h.Name)
	if parent := path.Dir(name); parent != "." {
		if err := e.root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeDir {
		return e.directory(name, h)
	}
	if err := e.root.RemoveAll(name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return e.regular(name, h, content)
	case tar.TypeLink:
		return e.root.Link(clean(h.Linkname), name)
	case tar.TypeSymlink:
		if err := e.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return e.root.Lchown(name, h.Uid, h.Gid)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return e.device(name, h)
	}
	return fmt.Errorf("unknown entry type %q", h.Typeflag)
}

func (e *extractor) directory(name string, h *tar.Header) error {
	if info, err := e.root.Lstat(name); err == nil && !info.IsDir() {
		if err := e.root.Remove(name); err != nil {
			return err
		}
	}
	if err := e.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := e.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	e.dirs = append(e.dirs, dirTime{name, h.ModTime})
	return own(f, h)
}

func (e *extractor) regular(name string, h *tar.Header, content io.Reader) error {
	f, err := e.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = own(f, h)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return e.root.Chtimes(name, h.ModTime, h.ModTime)
}

// own sets the owner first: changing it clears the set-uid bit and file capabilities.
func own(f *os.File, h *tar.Header) error {
	if err := f.Chown(h.Uid, h.Gid); err != nil {
		return err
	}
	if err := f.Chmod(h.FileInfo().Mode()); err != nil {
		return err
	}
	for record, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(record, xattrRecord)
		if !ok {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), attr, []byte(value), 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", attr, err)
		}
	}
	return nil
}

func (e *extractor) device(name string, h *tar.Header) error {
	parent, err := e.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer parent.Close()
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	fd, base, mode := int(parent.Fd()), filepath.Base(name), uint32(h.Mode)&0o7777
	if err := unix.Mknodat(fd, base, kind|mode, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
		return err
	}
	if err := unix.Fchownat(fd, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.Fchmodat(fd, base, mode, 0) // mknod obeys the umask
}
