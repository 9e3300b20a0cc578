package main

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// tree is a directory that has to stay as it was made: every file in it with its content, mode, owner, time, links and
// attributes, and no other.
type tree struct {
	dir string
	was map[string]string
	// attributes says why files have no extended attributes here; empty when they have.
	attributes string
}

const attribute = "user.e2e"

// old is a time that no file has by accident.
var old = time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.UTC)

// openTree fills a directory with files of every sort.
func openTree(dir string) (kind, error) {
	b := builder{dir: dir}
	b.mkdir(".", 0o755)
	b.file("plain", 0o644, 3<<10)
	b.file("large", 0o600, 1<<20)
	b.file("empty", 0o640, 0)
	b.file("runs as its owner", fs.ModeSetuid|0o755, 100)
	b.file("name with ü, \"quotes\" and a\nnew line", 0o644, 10)
	b.mkdir("deep", 0o750)
	b.mkdir("deep/deeper", fs.ModeSticky|0o777)
	b.file("deep/deeper/file", 0o400, 200)
	b.mkdir("deep/empty", 0o700)
	b.do(func() error { return os.Symlink("plain", b.path("link")) })
	b.do(func() error { return os.Symlink("../nowhere", b.path("link to nothing")) })
	b.do(func() error { return os.Link(b.path("plain"), b.path("deep/second name")) })
	b.do(func() error { return unix.Mkfifo(b.path("fifo"), 0o600) })
	b.do(func() error { return os.Chmod(b.path("fifo"), 0o620) })
	b.file("deleted", 0o644, 10)
	b.do(func() error { return os.Remove(b.path("deleted")) })
	var attributes string
	b.do(func() error {
		for _, name := range []string{"plain", "deep"} {
			err := unix.Setxattr(b.path(name), attribute, []byte("kept "+name), 0)
			if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) {
				attributes = err.Error()
			} else if err != nil {
				return fmt.Errorf("set attribute of %s: %w", name, err)
			}
		}
		return nil
	})
	b.do(func() error { return os.Chtimes(b.path("plain"), old, old) })
	if b.err != nil {
		return nil, b.err
	}
	return keep(dir, attributes)
}

// openImage changes, deletes and replaces files that the image has.
func openImage(dir string) (kind, error) {
	b := builder{dir: dir}
	for _, name := range report.ImageFiles {
		b.do(func() error { _, err := os.Lstat(b.path(name)); return err })
	}
	b.do(func() error {
		changed, err := os.OpenFile(b.path("changed"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = changed.WriteString("and changed by " + rand.Text() + "\n")
		return errors.Join(err, changed.Close())
	})
	for _, name := range []string{"deleted", "becomes-directory", "becomes-link", "directory", "gone"} {
		b.do(func() error { return os.RemoveAll(b.path(name)) })
	}
	b.do(func() error { return os.Rename(b.path("moved"), b.path("moved-away")) })
	b.do(func() error { return os.Chmod(b.path("mode"), 0o600) })
	b.do(func() error { return os.Symlink("kept", b.path("becomes-link")) })
	b.mkdir("becomes-directory", 0o755)
	b.file("becomes-directory/file", 0o644, 50)
	// A directory of the same name as the image's: the image's files must not show in it.
	b.mkdir("directory", 0o755)
	b.file("directory/three", 0o644, 50)
	if b.err != nil {
		return nil, b.err
	}
	return keep(dir, "")
}

func keep(dir, attributes string) (kind, error) {
	was, err := look(dir)
	return &tree{dir: dir, was: was, attributes: attributes}, err
}

func (t *tree) tick(uint64) error { return nil }

func (t *tree) check(k *report.Kind) error {
	if t.attributes != "" {
		k.Values["no extended attributes"] = t.attributes
	}
	is, err := look(t.dir)
	if err != nil {
		return err
	}
	return differ(t.was, is)
}

// look describes every file below a directory, by its quoted path.
func look(dir string) (map[string]string, error) {
	files := map[string]string{}
	inodes := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		said := []string{info.Mode().String(), fmt.Sprintf("of %d:%d", stat.Uid, stat.Gid)}
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			said = append(said, fmt.Sprintf("%d bytes, sha256 %.6x, of %s", len(content), sha256.Sum256(content), info.ModTime().UTC().Format("2006-01-02T15:04:05.000")))
			if first, ok := inodes[stat.Ino]; ok {
				said = append(said, "the same file as "+first)
			}
			inodes[stat.Ino] = name
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			said = append(said, "to "+target)
		}
		if info.Mode().IsRegular() || info.IsDir() {
			value := make([]byte, 256)
			if n, err := unix.Lgetxattr(path, attribute, value); err == nil {
				said = append(said, fmt.Sprintf("attribute %s=%s", attribute, value[:n]))
			} else if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
				return fmt.Errorf("read attribute of %s: %w", path, err)
			}
		}
		files[fmt.Sprintf("%q", filepath.Join(filepath.Base(dir), name))] = strings.Join(said, ", ")
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", dir, err)
	}
	return files, nil
}

// builder makes files until something goes wrong.
type builder struct {
	dir string
	err error
}

func (b *builder) path(name string) string { return filepath.Join(b.dir, name) }

func (b *builder) do(f func() error) {
	if b.err == nil {
		b.err = f()
	}
}

func (b *builder) mkdir(name string, mode fs.FileMode) {
	b.do(func() error {
		if err := os.MkdirAll(b.path(name), 0o755); err != nil {
			return err
		}
		return os.Chmod(b.path(name), mode) // the umask takes from what MkdirAll gives
	})
}

func (b *builder) file(name string, mode fs.FileMode, size int) {
	b.do(func() error {
		content := make([]byte, size)
		_, _ = rand.Read(content)
		if err := os.WriteFile(b.path(name), content, 0o600); err != nil {
			return err
		}
		return os.Chmod(b.path(name), mode)
	})
}
