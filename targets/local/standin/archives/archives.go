// Package archives keeps the local propagator's checkpoint archives as plain files in one directory.
package archives

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ErrBadPath is a path that is not relative, clean and inside the store.
var ErrBadPath = errors.New("path must be relative, without . or .. in it")

// ErrSum is an archive that is not what its sum says.
var ErrSum = errors.New("archive differs from its sha256")

// Store is the directory.
type Store struct {
	root *os.Root
	temp string

	// names is held while a name comes or goes: a directory must not be removed between its making and its use.
	names sync.Mutex

	mu sync.Mutex
	// sums has what was computed in this process; a file from before is read again when it is asked for.
	sums map[string]Entry
}

// Entry describes one archive.
type Entry struct {
	Path string
	Size int64
	// SHA256 is hex.
	SHA256   string
	Modified time.Time
}

// Open opens or makes the store in dir, and removes what a kill left half written.
func Open(dir string) (*Store, error) {
	temp := filepath.Join(dir, "uploads")
	if err := os.RemoveAll(temp); err != nil {
		return nil, fmt.Errorf("remove unfinished uploads: %w", err)
	}
	for _, d := range []string{filepath.Join(dir, "archives"), temp} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make archive store: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open archive store: %w", err)
	}
	return &Store{root: root, temp: "uploads", sums: map[string]Entry{}}, nil
}

// Close closes the directory.
func (s *Store) Close() error { return s.root.Close() }

func (s *Store) name(p string) (string, error) {
	if p == "." || !fs.ValidPath(p) || len(p) > 1024 {
		return "", fmt.Errorf("%q: %w", p, ErrBadPath)
	}
	return path.Join("archives", p), nil
}

// Put writes r to the path. It replaces what is there at once or not at all, and what it wrote outlives this process, killed
// at any moment. It need not survive the machine's power cut: the pods do not, and the test cluster's own data is not kept
// so either. Waiting for the disk took most of a checkpoint's time. A wantSum that is not empty must be the content's sha256
// in hex, else ErrSum.
func (s *Store) Put(ctx context.Context, p, wantSum string, r io.Reader) (Entry, error) {
	name, err := s.name(p)
	if err != nil {
		return Entry{}, err
	}
	temp := path.Join(s.temp, uuid.NewString())
	file, err := s.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return Entry{}, fmt.Errorf("store archive %s: %w", p, err)
	}
	entry, err := s.write(file, r)
	if err = errors.Join(err, file.Close()); err == nil && wantSum != "" && wantSum != entry.SHA256 {
		err = fmt.Errorf("%w: got %s, want %s", ErrSum, entry.SHA256, wantSum)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.publish(temp, name)
	}
	if err != nil {
		return Entry{}, errors.Join(fmt.Errorf("store archive %s: %w", p, err), ignoreMissing(s.root.Remove(temp)))
	}
	entry.Path, entry.Modified = p, time.Now()
	s.mu.Lock()
	s.sums[p] = entry
	s.mu.Unlock()
	return entry, nil
}

func (s *Store) write(file *os.File, r io.Reader) (Entry, error) {
	sum := sha256.New()
	size, err := io.CopyBuffer(io.MultiWriter(file, sum), r, make([]byte, 256<<10))
	if err != nil {
		return Entry{}, err
	}
	return Entry{Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// publish gives a written file its name.
func (s *Store) publish(temp, name string) error {
	parent := path.Dir(name)
	s.names.Lock()
	defer s.names.Unlock()
	if err := s.root.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	return s.root.Rename(temp, name)
}

// Open opens an archive; fs.ErrNotExist when there is none.
func (s *Store) Open(p string) (*os.File, error) {
	name, err := s.name(p)
	if err != nil {
		return nil, err
	}
	file, err := s.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open archive %s: %w", p, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("open archive %s: it is a directory: %w", p, fs.ErrNotExist)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Stat describes an archive, its sum included; fs.ErrNotExist when there is none.
func (s *Store) Stat(p string) (Entry, error) {
	file, err := s.Open(p)
	if err != nil {
		return Entry{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Entry{}, fmt.Errorf("describe archive %s: %w", p, err)
	}
	s.mu.Lock()
	entry, known := s.sums[p]
	s.mu.Unlock()
	if known && entry.Size == info.Size() {
		entry.Modified = info.ModTime()
		return entry, nil
	}
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return Entry{}, fmt.Errorf("read archive %s: %w", p, err)
	}
	entry = Entry{Path: p, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)), Modified: info.ModTime()}
	s.mu.Lock()
	s.sums[p] = entry
	s.mu.Unlock()
	return entry, nil
}

// List names the archives under a directory ("" for all), without their sums.
func (s *Store) List(dir string) ([]Entry, error) {
	start := "archives"
	if dir != "" {
		name, err := s.name(dir)
		if err != nil {
			return nil, err
		}
		start = name
	}
	var entries []Entry
	err := fs.WalkDir(s.root.FS(), start, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("archives", name)
		if err != nil {
			return err
		}
		entries = append(entries, Entry{Path: filepath.ToSlash(rel), Size: info.Size(), Modified: info.ModTime()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list archives under %q: %w", dir, err)
	}
	return entries, nil
}

// Remove removes an archive and the directories that it leaves empty; one that is not there is no error.
func (s *Store) Remove(p string) error {
	name, err := s.name(p)
	if err != nil {
		return err
	}
	s.names.Lock()
	defer s.names.Unlock()
	if err := ignoreMissing(s.root.Remove(name)); err != nil {
		return fmt.Errorf("remove archive %s: %w", p, err)
	}
	s.mu.Lock()
	delete(s.sums, p)
	s.mu.Unlock()
	for dir := path.Dir(name); dir != "archives" && dir != "."; dir = path.Dir(dir) {
		if s.root.Remove(dir) != nil {
			break // not empty
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
