package archive

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	metadata "github.com/checkpoint-restore/checkpointctl/lib"
	"github.com/opencontainers/runtime-spec/specs-go"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Names inside a container's checkpoint archive, as checkpointctl and podman have them.
const (
	ImagesDir    = metadata.CheckpointDirectory
	ConfigDump   = metadata.ConfigDumpFile
	SpecDump     = metadata.SpecDumpFile
	RootfsDiff   = metadata.RootFsDiffTar
	DeletedFiles = metadata.DeletedFilesFile
	DumpLog      = metadata.DumpLogFile
	DevShm       = metadata.DevShmCheckpointTar
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

func (c Checkpoint) readJSON(name string, v any) error {
	data, err := os.ReadFile(c.Path(name))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// Deleted reads deleted.files; an archive without it deleted nothing.
func (c Checkpoint) Deleted() ([]string, error) {
	var names []string
	err := c.readJSON(DeletedFiles, &names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// Memory is how many bytes of memory CRIU has dumped.
func (c Checkpoint) Memory() (size int64, err error) {
	images, _ := filepath.Glob(c.Path(ImagesDir + "/pages-*.img")) // the pattern is well-formed
	for _, path := range images {
		info, err := os.Stat(path)
		if err != nil {
			return 0, fmt.Errorf("read memory of checkpoint: %w", err)
		}
		size += info.Size()
	}
	return size, nil
}

// Image is the digest of the image that the container was made of; empty when that was not known.
func (c Checkpoint) Image() (string, error) {
	var config ContainerConfig
	err := c.readJSON(ConfigDump, &config)
	return config.RootfsImageRef, err
}

// Spec is the OCI specification of the container as it was dumped.
func (c Checkpoint) Spec() (*specs.Spec, error) {
	var spec specs.Spec
	if err := c.readJSON(SpecDump, &spec); err != nil {
		return nil, err
	}
	return &spec, nil
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
			// It becomes a directory on the node: `..` would be that of all of the pod's volumes.
			if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
				return nil, fmt.Errorf("read volumes of checkpoint: %q is not a volume's name: %s", name, strings.Join(problems, "; "))
			}
			names = append(names, name)
		}
	}
	return names, nil
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
