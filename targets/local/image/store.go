package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/filelock"
)

// kept is how many versions of one artifact stay in the cache: enough to go back and forth between two branches.
const kept = 3

// Store is the cache of what was made, under one home directory: `images/` has the tarballs of images, `build/` what
// they are made of. Several processes may use one store at once: what two of them want is made once.
type Store struct {
	home     string
	progress console.Progress
	// root finds the repository that programs are built from.
	root func() (string, error)
	// compiling is held by the compile that runs: two would only get in each other's way, and both compile what they share.
	compiling sync.Mutex
}

// NewStore returns the store in home, which is made when something is first put there. A nil progress is [console.Quiet].
func NewStore(home string, progress console.Progress) *Store {
	if progress == nil {
		progress = console.Quiet{}
	}
	return &Store{home: home, progress: progress, root: gobuild.Root}
}

// Progress is where the store's users say what they do.
func (s *Store) Progress() console.Progress { return s.progress }

// Image returns the tarball of the image NAME with this key, made by build unless it is there already.
func (s *Store) Image(ctx context.Context, name, key string, build func(ctx context.Context) (v1.Image, error)) (Tarball, error) {
	t := Tarball{Ref: Ref(name, key)}
	var err error
	t.Path, err = s.file(ctx, "images", name, key, ".tar", func(ctx context.Context, path string) (err error) {
		s.progress.Step("make image %s", t.Ref)
		end := s.progress.Watch("make image "+name, func() console.State { return console.State{} })
		defer func() { end(err) }()
		img, err := build(ctx)
		if err != nil {
			return err
		}
		return Write(path, t.Ref, img)
	})
	if err != nil {
		return Tarball{}, fmt.Errorf("make image %s: %w", t.Ref, err)
	}
	return t, nil
}

// HasImage reports whether any version of the image NAME is in the store.
func (s *Store) HasImage(name string) (bool, error) {
	entries, err := os.ReadDir(filepath.Join(s.home, "images"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look for images of %s: %w", name, err)
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		key, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".tar"), name+"-")
		return ok && isKey(key)
	}), nil
}

// HasFile reports whether the file NAME with this key is in `build/`, and what it was when it was made.
func (s *Store) HasFile(name, key, ext string) bool {
	ok, err := sound(s.path("build", name, key, ext))
	return ok && err == nil
}

// Write writes the image to a tarball under that name.
func Write(path, ref string, img v1.Image) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("parse image name %s: %w", ref, err)
	}
	return tarball.WriteToFile(path, tag, img)
}

// File returns the path of the file NAME with this key in `build/`, made by build unless it is there already. build
// writes to the path that it is given, which becomes the file only if build succeeds. It may be a directory as well.
func (s *Store) File(ctx context.Context, name, key, ext string, build func(ctx context.Context, path string) error) (string, error) {
	return s.file(ctx, "build", name, key, ext, build)
}

// Home is the directory that the store is in.
func (s *Store) Home() string { return s.home }

// Scratch makes an empty directory on the store's file system for one piece of work, and a function to remove it. The
// caller is making the only artifact that needs a directory of this name, so it holds that one's lock, and what is
// there under the name was left behind by a run that was killed.
func (s *Store) Scratch(name string) (dir string, remove func() error, err error) {
	parent := filepath.Join(s.home, "build")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", nil, fmt.Errorf("make directory for %s: %w", name, err)
	}
	dir = filepath.Join(parent, "tmp-"+name)
	if err := os.RemoveAll(dir); err != nil {
		return "", nil, fmt.Errorf("remove what an interrupted run left behind: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("make directory for %s: %w", name, err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

func (s *Store) path(kind, name, key, ext string) string {
	return filepath.Join(s.home, kind, name+"-"+key+ext)
}

func (s *Store) file(ctx context.Context, kind, name, key, ext string, build func(ctx context.Context, path string) error) (string, error) {
	path := s.path(kind, name, key, ext)
	if there, err := s.use(path); err != nil || there {
		return path, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cache directory: %w", err)
	}
	unlock, err := filelock.Lock(ctx, s.progress, filepath.Join(dir, "."+name+".lock"), "makes "+name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if there, err := s.use(path); err != nil || there { // another process made it while this one waited
		return path, err
	}
	tmp := path + ".tmp" // only the holder of the lock writes it; one left behind by a kill is overwritten
	for _, left := range []string{tmp, path} {
		if err := os.RemoveAll(left); err != nil {
			return "", fmt.Errorf("remove what an interrupted run left behind: %w", err)
		}
	}
	if err := build(ctx, tmp); err != nil {
		return "", errors.Join(err, os.RemoveAll(tmp))
	}
	if err := seal(tmp, path); err != nil {
		return "", errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", errors.Join(fmt.Errorf("put %s in place: %w", filepath.Base(path), err), os.RemoveAll(tmp))
	}
	if err := syncPath(dir); err != nil {
		return "", fmt.Errorf("put %s in place: %w", filepath.Base(path), err)
	}
	return path, s.prune(dir, name, ext)
}

// use reports whether the artifact is there and sound, and marks it as used now, which keeps prune away. One that is
// there and not sound is made anew, and that is said.
func (s *Store) use(path string) (bool, error) {
	now := time.Now()
	if os.Chtimes(path, now, now) != nil {
		return false, nil
	}
	ok, err := sound(path)
	if err != nil {
		return false, fmt.Errorf("check %s: %w", path, err)
	}
	if !ok {
		s.progress.Step("make %s anew: it is not what it was when it was made, as after a power cut or with a full disk", path)
	}
	return ok, nil
}

// prune removes all but the newest versions of an artifact.
func (s *Store) prune(dir, name, ext string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("prune cache: %w", err)
	}
	type version struct {
		path string
		used time.Time
	}
	var versions []version
	for _, entry := range entries {
		key, ok := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ext), name+"-")
		if !ok || !strings.HasSuffix(entry.Name(), ext) || !isKey(key) {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("prune cache: %w", err)
		}
		versions = append(versions, version{filepath.Join(dir, entry.Name()), info.ModTime()})
	}
	slices.SortFunc(versions, func(a, b version) int { return b.used.Compare(a.used) })
	for _, old := range versions[min(kept, len(versions)):] {
		if err := errors.Join(os.RemoveAll(old.path), os.RemoveAll(old.path+proofExt)); err != nil {
			return fmt.Errorf("prune cache: %w", err)
		}
	}
	return nil
}

func isKey(s string) bool {
	return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == ""
}
