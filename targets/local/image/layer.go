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
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
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
	return LayerOf(func(w io.Writer) error { return writeEntries(w, entries) })
}

// LayerOf is a layer of what write writes, a tar archive ([NewTar]), which is the same each time.
func LayerOf(write func(io.Writer) error) (v1.Layer, error) {
	return newLayer(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(write(w)) }()
		return r, nil
	})
}

// LayerFile is a layer that is a tar archive on disk with this hash, the hexadecimal SHA-256 of its content.
func LayerFile(path, hash string) (v1.Layer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	return &layer{
		open: func() (io.ReadCloser, error) { return os.Open(path) },
		size: info.Size(), id: v1.Hash{Algorithm: "sha256", Hex: hash},
	}, nil
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
	out := NewTar(w)
	if err := out.Add(sorted...); err != nil {
		return err
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

// Tar is the tar archive of a layer that is written file by file: for content that is not on disk. Times are fixed.
// Of two files with one path the first counts, so what several packages have in common is there once.
type Tar struct {
	out     *tar.Writer
	written map[string]bool
}

// NewTar begins a tar file. It is complete when it is closed.
func NewTar(w io.Writer) *Tar {
	return &Tar{out: tar.NewWriter(w), written: map[string]bool{}}
}

// Copy adds a file of another archive: owner, mode, kind and content as there, under the names that the header has.
// Devices and the like are left out: an engine brings its own /dev.
func (a *Tar) Copy(header *tar.Header, content io.Reader) error {
	copied := &tar.Header{
		Typeflag: header.Typeflag, Name: header.Name, Linkname: header.Linkname, Mode: header.Mode & 0o7777, ModTime: modified,
		Uid: header.Uid, Gid: header.Gid, Size: header.Size,
	}
	switch header.Typeflag {
	case tar.TypeDir:
		copied.Name = strings.TrimSuffix(copied.Name, "/") + "/"
	case tar.TypeReg, tar.TypeLink, tar.TypeSymlink:
	default:
		return nil
	}
	if a.take(header.Name) {
		return nil
	}
	if err := a.out.WriteHeader(copied); err != nil {
		return err
	}
	_, err := io.Copy(a.out, content)
	return err
}

// Add adds entries.
func (a *Tar) Add(entries ...Entry) error {
	for _, e := range entries {
		if a.take(e.Path) {
			continue
		}
		if err := writeEntry(a.out, e); err != nil {
			return fmt.Errorf("write %s to layer: %w", e.Path, err)
		}
	}
	return nil
}

// take reports whether there is a file of that path already, and remembers that there is one now.
func (a *Tar) take(path string) (taken bool) {
	path = strings.TrimSuffix(path, "/")
	taken, a.written[path] = a.written[path], true
	return taken
}

// Close writes the archive's end.
func (a *Tar) Close() error { return a.out.Close() }

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
