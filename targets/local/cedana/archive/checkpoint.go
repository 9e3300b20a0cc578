package archive

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	metadata "github.com/checkpoint-restore/checkpointctl/lib"
)

// Names inside a container's checkpoint archive. The first are the standard's; StatsDump and VolumesDir are where
// checkpointctl and podman have them.
const (
	ImagesDir    = metadata.CheckpointDirectory
	ConfigDump   = metadata.ConfigDumpFile
	SpecDump     = metadata.SpecDumpFile
	RootfsDiff   = metadata.RootFsDiffTar
	DeletedFiles = metadata.DeletedFilesFile
	DumpLog      = metadata.DumpLogFile
	DevShm       = metadata.DevShmCheckpointTar
	StatsDump    = "stats-dump"
	VolumesDir   = metadata.CheckpointVolumesDirectory
)

// ContainerConfig is config.dump.
type ContainerConfig = metadata.ContainerConfig

// VolumeTar is the name of an emptyDir volume's tar.
func VolumeTar(volume string) string { return VolumesDir + "/" + volume + ".tar" }

// Checkpoint is a container's checkpoint as a directory of files that will be packed under their own names.
type Checkpoint struct{ Dir string }

// Path of a file in the checkpoint.
func (c Checkpoint) Path(name string) string { return filepath.Join(c.Dir, filepath.FromSlash(name)) }

// WriteJSON writes one of the JSON files.
func (c Checkpoint) WriteJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return os.WriteFile(c.Path(name), data, 0o600)
}

// Deleted reads deleted.files; an archive without it deleted nothing.
func (c Checkpoint) Deleted() ([]string, error) {
	var names []string
	data, err := os.ReadFile(c.Path(DeletedFiles))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &names)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", DeletedFiles, err)
	}
	return names, nil
}

// Volumes lists the emptyDir volumes in the checkpoint, by name.
func (c Checkpoint) Volumes() ([]string, error) {
	entries, err := os.ReadDir(c.Path(VolumesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read volumes of checkpoint: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".tar"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// Packed is a checkpoint ready to be written as one archive.
type Packed struct {
	files []packedFile
	size  int64
}

type packedFile struct {
	header *tar.Header
	path   string
}

// Pack lists the checkpoint's files, the small descriptions first. The files must not change until it is written.
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
			return nil // CRIU leaves a socket of its service there
		}
		p.files = append(p.files, packedFile{h, path})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list checkpoint %s: %w", c.Dir, err)
	}
	sort.SliceStable(p.files, func(i, j int) bool { return rank(p.files[i].header.Name) < rank(p.files[j].header.Name) })
	return p, p.measure()
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

// measure adds up what WriteTo will write.
func (p *Packed) measure() error {
	const block = 512
	var headers counter
	for _, f := range p.files {
		// A writer of its own for each header: one writer would want the content in between.
		if err := tar.NewWriter(&headers).WriteHeader(f.header); err != nil {
			return fmt.Errorf("describe %s: %w", f.header.Name, err)
		}
		p.size += (f.header.Size + block - 1) / block * block
	}
	p.size += int64(headers) + 2*block
	return nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// Size of the uncompressed archive in bytes.
func (p *Packed) Size() int64 { return p.size }

// WriteTo writes the uncompressed archive.
func (p *Packed) WriteTo(w io.Writer) (int64, error) {
	var n counter
	tw := tar.NewWriter(io.MultiWriter(w, &n))
	for _, f := range p.files {
		if err := f.write(tw); err != nil {
			return int64(n), fmt.Errorf("archive %s: %w", f.header.Name, err)
		}
	}
	err := tw.Close()
	return int64(n), err
}

func (f packedFile) write(tw *tar.Writer) error {
	if err := tw.WriteHeader(f.header); err != nil || f.header.Size == 0 {
		return err
	}
	src, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = io.CopyN(tw, src, f.header.Size)
	return err
}

// Compression of an archive.
type Compression string

// The compressions there are; "tar" is upstream's other word for none.
const (
	CompressionNone Compression = "none"
	CompressionGzip Compression = "gzip"
)

// ParseCompression reads a setting; empty means none.
func ParseCompression(text string) (Compression, error) {
	switch text {
	case "", "none", "tar":
		return CompressionNone, nil
	case "gzip":
		return CompressionGzip, nil
	}
	return "", fmt.Errorf("checkpoint compression %q is not supported by the local backend: want none, tar or gzip", text)
}

// Extension of an archive's file name.
func (c Compression) Extension() string {
	if c == CompressionGzip {
		return ".tar.gz"
	}
	return ".tar"
}

// Compress writes the archive to w.
func (p *Packed) Compress(w io.Writer, c Compression) error {
	if c != CompressionGzip {
		_, err := p.WriteTo(w)
		return err
	}
	// Memory images are large and wanted soon: speed before size.
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := p.WriteTo(z); err != nil {
		return err
	}
	return z.Close()
}

// Unpack writes an archive's files into dir, which must exist; gzip is recognised by its first bytes. r is read to its
// end, so that a checksum taken on the way is of the whole archive.
func Unpack(dir string, r io.Reader) (Checkpoint, error) {
	c := Checkpoint{Dir: dir}
	plain, err := decompress(r)
	if err != nil {
		return c, fmt.Errorf("read checkpoint archive: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return c, fmt.Errorf("open %s: %w", dir, err)
	}
	defer root.Close()
	for tr := tar.NewReader(plain); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, fmt.Errorf("read checkpoint archive: %w", err)
		}
		if err := unpackFile(root, h, tr); err != nil {
			return c, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return c, fmt.Errorf("read checkpoint archive: %w", err)
	}
	_, err = io.Copy(io.Discard, r)
	return c, err
}

func unpackFile(root *os.Root, h *tar.Header, content io.Reader) error {
	name := clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o700)
	case tar.TypeReg:
	default:
		return fmt.Errorf("unexpected entry type %q in a checkpoint archive", h.Typeflag)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
