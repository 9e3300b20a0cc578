package cleanup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
)

// tempName is the form of the temporary directories made here: `cedana-e2e-WHAT-` and the digits that os.MkdirTemp
// adds. Those digits keep a directory that somebody named, a clone of this repository say, from being taken for one.
var tempName = regexp.MustCompile(`^cedana-e2e-([a-z0-9]+-)*[0-9]{6,10}$`)

// cleanDisk takes down mounts that a killed build left, and removes temporary directories. Both belong to no cluster,
// so cleaning one cluster leaves them: they may be another run's.
func (w *cleaner) cleanDisk() {
	if w.scope != "" {
		return
	}
	w.cleanMounts(w.settings.Build(), w.settings.Images())
	entries, err := os.ReadDir(w.options.TempDir)
	if err != nil {
		w.leave(fmt.Sprintf("temporary directories: %v", err))
		return
	}
	for _, e := range entries {
		path := filepath.Join(w.options.TempDir, e.Name())
		if !tempName.MatchString(e.Name()) || !e.IsDir() || !mine(path) {
			continue
		}
		if err := w.removeTree(path); err != nil {
			w.leave(fmt.Sprintf("temporary directory %s: %v", path, err))
			continue
		}
		w.gone("temporary directory %s", path)
	}
}

// mine reports whether this user owns the path: in a shared temporary directory another user's is theirs to clean.
func mine(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// cleanCaches removes the caches when everything is to go, and names them otherwise. Cleaning one cluster leaves
// them alone: they are every cluster's.
func (w *cleaner) cleanCaches(ctx context.Context) {
	if w.scope != "" && !w.settings.All {
		return
	}
	w.cleanImages(ctx)
	for _, dir := range []string{w.settings.Images(), w.settings.Build()} {
		if !exists(dir) {
			continue
		}
		size, err := diskUse(dir)
		if err != nil {
			w.con.Warn("%v", err)
		}
		if !w.settings.All {
			w.keep("%s (%s)", dir, size)
			continue
		}
		if err := w.removeTree(dir); err != nil {
			w.leave(fmt.Sprintf("cache %s: %v", dir, err))
			continue
		}
		w.gone("cache %s (%s)", dir, size)
	}
}

// removeTree removes a directory, but not what is mounted in it: a half-built root file system may have the machine's
// own /dev or /proc in it.
func (w *cleaner) removeTree(dir string) error {
	w.cleanMounts(dir)
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("%s is mounted in it", points[0])
	}
	return os.RemoveAll(dir)
}

// cleanMounts takes down what is mounted below the directories, the deepest first.
func (w *cleaner) cleanMounts(dirs ...string) {
	for _, dir := range dirs {
		points, err := mountsBelow(dir)
		if err != nil {
			w.leave(fmt.Sprintf("mounts below %s: %v", dir, err))
			continue
		}
		slices.Reverse(points)
		for _, point := range points {
			if err := unmount(point); err != nil {
				w.leave(fmt.Sprintf("mount %s: %v", point, err))
				continue
			}
			w.gone("mount %s", point)
		}
	}
}

// bytes prints a size for people.
type bytes int64

func (b bytes) String() string {
	units := []string{"B", "kB", "MB", "GB"}
	size := float64(b)
	for _, unit := range units[:len(units)-1] {
		if size < 1000 {
			return fmt.Sprintf("%.3g %s", size, unit)
		}
		size /= 1000
	}
	return fmt.Sprintf("%.3g %s", size, units[len(units)-1])
}

// diskUse is the size of the files below dir, without crossing links. Files that go away meanwhile do not count.
func diskUse(dir string) (bytes, error) {
	var total bytes
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				total += onDisk(info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return total, fmt.Errorf("measure %s: %w", dir, err)
	}
	return total, nil
}

// onDisk is what a file takes: a machine's disk is mostly holes.
func onDisk(info fs.FileInfo) bytes {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(bytes(stat.Blocks)*512, bytes(info.Size()))
	}
	return bytes(info.Size())
}
