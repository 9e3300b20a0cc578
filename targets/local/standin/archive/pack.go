package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

const block = 512 // of a tar

// Packed is a checkpoint ready to be read as one archive, as often as need be: nothing is copied before it is sent.
type Packed struct {
	parts []part
	size  int64
}

// part is a header and the file that follows it, or the archive's end.
type part struct {
	name   string
	header []byte
	path   string
	size   int64
}

// Pack lists the checkpoint's files, the small descriptions first. The files must not change until it is read.
func (c Checkpoint) Pack() (*Packed, error) {
	p := &Packed{}
	err := filepath.WalkDir(c.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(c.Dir, path)
		if err != nil || name == "." {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, ModTime: info.ModTime().Truncate(time.Second)}
		switch {
		case info.IsDir():
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, h.Name+"/", 0o700
		case info.Mode().IsRegular():
			h.Typeflag, h.Size = tar.TypeReg, info.Size()
		default:
			return nil // CRIU may leave a socket of its own there
		}
		return p.add(h, path)
	})
	if err != nil {
		return nil, fmt.Errorf("list checkpoint %s: %w", c.Dir, err)
	}
	sort.SliceStable(p.parts, func(i, j int) bool { return rank(p.parts[i].name) < rank(p.parts[j].name) })
	p.parts = append(p.parts, part{header: make([]byte, 2*block)})
	p.size += 2 * block
	return p, nil
}

func (p *Packed) add(h *tar.Header, path string) error {
	var header bytes.Buffer
	// A writer of its own for each header: one for all would want the content in between.
	if err := tar.NewWriter(&header).WriteHeader(h); err != nil {
		return fmt.Errorf("describe %s: %w", h.Name, err)
	}
	p.parts = append(p.parts, part{name: h.Name, header: header.Bytes(), path: path, size: h.Size})
	p.size += int64(header.Len()) + (h.Size+block-1)/block*block
	return nil
}

func rank(name string) int {
	switch {
	case name == ConfigDump || name == SpecDump:
		return 0
	case strings.HasSuffix(name, ".tar") || strings.HasPrefix(name, VolumesDir+"/"):
		return 2
	}
	return 1
}

// Size of the archive in bytes, -1 where it is not known before it is compressed.
func (p *Packed) Size(c Compression) int64 {
	if c == CompressionNone {
		return p.size
	}
	return -1
}

// Open reads the archive, compressed, from its beginning. Close may be called at any time, as net/http does.
func (p *Packed) Open(c Compression) io.ReadCloser {
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(c.compress(w, p.write)) }() // never fails
	return r
}

func (p *Packed) write(w io.Writer) error {
	buffer := make([]byte, 256<<10)
	for _, one := range p.parts {
		if _, err := w.Write(one.header); err != nil {
			return err
		}
		if one.size == 0 {
			continue
		}
		if err := one.content(w, buffer); err != nil {
			return fmt.Errorf("archive %s: %w", one.name, err)
		}
	}
	return nil
}

// content writes the part's file and what fills its last block.
func (p part) content(w io.Writer, buffer []byte) error {
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != p.size {
		return fmt.Errorf("has %d bytes now, %d when it was packed", info.Size(), p.size)
	}
	// Without the interfaces by which io would choose a smaller buffer.
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(f, p.size), buffer)
	if err == nil && n < p.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	_, err = w.Write(make([]byte, (block-p.size%block)%block))
	return err
}
