package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// modified is the time of every file in every layer, so that equal inputs give equal layers.
var modified = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// Entry is one file, directory or link in a layer. It belongs to root.
type Entry struct {
	// Path in the image, without a leading slash.
	Path string
	// Mode has the permissions; fs.ModeDir makes a directory, fs.ModeSymlink a link. fs.ModeSticky is kept.
	Mode fs.FileMode
	// Source is the file on disk with the content; Content is used when it is empty.
	Source  string
	Content []byte
	// Target of a link.
	Target string
}

// File is the entry of a file on disk.
func File(path, source string, mode fs.FileMode) Entry {
	return Entry{Path: path, Source: source, Mode: mode}
}

// Text is the entry of a small file, mode 0644.
func Text(path, content string) Entry {
	return Entry{Path: path, Content: []byte(content), Mode: 0o644}
}

// Link is the entry of a symbolic link.
func Link(path, target string) Entry {
	return Entry{Path: path, Target: target, Mode: fs.ModeSymlink | 0o777}
}

// Dir is the entry of a directory. Parents of other entries need none: they get mode 0755.
func Dir(path string, mode fs.FileMode) Entry { return Entry{Path: path, Mode: fs.ModeDir | mode} }

// TreeEntries are the entries of everything below dir: permissions as on disk, reduced to 0755 or 0644 so that they
// do not depend on the umask of whoever checked the files out.
func TreeEntries(dir string) ([]Entry, error) {
	var entries []Entry
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		relative, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			entries = append(entries, Dir(relative, 0o755))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			entries = append(entries, Link(relative, target))
		case info.Mode()&0o111 != 0:
			entries = append(entries, File(relative, file, 0o755))
		default:
			entries = append(entries, File(relative, file, 0o644))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read files for a layer: %w", err)
	}
	return entries, nil
}

// Layer is a layer of the entries. The files are read when the image is written: they must stay until then. Of two
// entries with one path the later counts.
func Layer(entries ...Entry) (v1.Layer, error) {
	return newLayer(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeEntries(w, entries)) }()
		return r, nil
	})
}

// LayerFile is a layer that is a tar archive on disk.
func LayerFile(path string) (v1.Layer, error) {
	return newLayer(func() (io.ReadCloser, error) { return os.Open(path) })
}

func writeEntries(w io.Writer, entries []Entry) error {
	byPath := map[string]Entry{}
	for _, e := range entries {
		e.Path = strings.TrimPrefix(path.Clean("/"+e.Path), "/")
		if e.Path == "" {
			return errors.New("layer entry without a path")
		}
		byPath[e.Path] = e
		for parent := path.Dir(e.Path); parent != "."; parent = path.Dir(parent) {
			if _, ok := byPath[parent]; !ok {
				byPath[parent] = Dir(parent, 0o755)
			}
		}
	}
	sorted := make([]Entry, 0, len(byPath))
	for p, e := range byPath {
		e.Path = p
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	out := tar.NewWriter(w)
	for _, e := range sorted {
		if err := writeEntry(out, e); err != nil {
			return fmt.Errorf("write %s to layer: %w", e.Path, err)
		}
	}
	return out.Close()
}

func writeEntry(out *tar.Writer, e Entry) error {
	header := &tar.Header{Name: e.Path, Mode: tarMode(e.Mode), ModTime: modified, Uname: "root", Gname: "root"}
	switch {
	case e.Mode.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, e.Path+"/"
		return out.WriteHeader(header)
	case e.Mode&fs.ModeSymlink != 0:
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.Target
		return out.WriteHeader(header)
	}
	var content io.Reader = bytes.NewReader(e.Content)
	header.Typeflag, header.Size = tar.TypeReg, int64(len(e.Content))
	if e.Source != "" {
		file, err := os.Open(e.Source)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		content, header.Size = file, info.Size()
	}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(out, content)
	return err
}

// ArchiveRoot writes a root file system as the tar archive of a layer: owners, modes, hard links and file
// capabilities as they are, times fixed, devices and sockets left out (an engine brings its own /dev). skip leaves
// out a path, relative to root, and what is below it.
func ArchiveRoot(w io.Writer, root string, skip func(path string) bool) error {
	out := tar.NewWriter(w)
	links := map[uint64]string{} // inode -> first path
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == root {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if skip(relative) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
			return nil
		}
		return archiveFile(out, file, relative, info, links)
	})
	if err != nil {
		return fmt.Errorf("archive root file system: %w", err)
	}
	return out.Close()
}

func archiveFile(out *tar.Writer, file, relative string, info fs.FileInfo, links map[uint64]string) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: no owner known", file)
	}
	header := &tar.Header{
		Name: relative, Mode: tarMode(info.Mode()), ModTime: modified, Uid: int(stat.Uid), Gid: int(stat.Gid),
	}
	switch {
	case info.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, relative+"/"
		return out.WriteHeader(header)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(file)
		if err != nil {
			return err
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, target
		return out.WriteHeader(header)
	}
	if stat.Nlink > 1 {
		if first, seen := links[stat.Ino]; seen {
			header.Typeflag, header.Linkname = tar.TypeLink, first
			return out.WriteHeader(header)
		}
		links[stat.Ino] = relative
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	const capability = "security.capability"
	value := make([]byte, 64)
	n, err := unix.Getxattr(file, capability, value)
	if err == nil {
		header.PAXRecords = map[string]string{"SCHILY.xattr." + capability: string(value[:n])}
	} else if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("%s: read capabilities: %w", file, err)
	}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(out, content)
	return err
}

func tarMode(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}

// layer is an uncompressed layer: what is compressed here would only be uncompressed again a second later, on the
// same machine. The library's own layers always compress.
type layer struct {
	open func() (io.ReadCloser, error)
	id   v1.Hash
	size int64
}

func newLayer(open func() (io.ReadCloser, error)) (v1.Layer, error) {
	content, err := open()
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	defer content.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, content)
	if err != nil {
		return nil, fmt.Errorf("hash layer: %w", err)
	}
	return &layer{open: open, size: size, id: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}}, nil
}

func (l *layer) Digest() (v1.Hash, error)             { return l.id, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.id, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return l.open() }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return l.open() }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.DockerUncompressedLayer, nil }
