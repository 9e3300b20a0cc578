package helper

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// misbehave spoils a checkpoint between its dump and its upload, or its source, if that is the regression to show.
func misbehave(ctx context.Context, w *work.Work, all []*dumped) error {
	log := slog.Default().With("action", w.ActionID)
	spoil := map[fault.Name]func(*dumped) error{
		fault.MemoryFlipped:       flipPage,
		fault.RootfsLost:          func(d *dumped) error { return filterTar(d.checkpoint.Path(archive.RootfsDiff), nil) },
		fault.RootfsLostForgotten: func(d *dumped) error { return filterTar(d.checkpoint.Path(archive.RootfsDiff), openFiles(d.Pid)) },
		fault.EmptyDirLost:        loseVolumes,
		fault.DeletedFileReturns: func(d *dumped) error {
			return d.checkpoint.WriteJSON(archive.DeletedFiles, []string{})
		},
		fault.SourceFrozen:     func(d *dumped) error { return d.Freezer.freeze(ctx) },
		fault.SourceFrozenLong: func(d *dumped) error { return freezeFor(ctx, d.Freezer, frozenLong) },
		fault.SourceKilled:     func(d *dumped) error { return syscall.Kill(d.Pid, syscall.SIGKILL) },
	}[w.Regression]
	if spoil == nil || !w.Regression.Is(w.Regression, log) {
		return nil
	}
	for _, d := range all {
		if err := spoil(d); err != nil {
			return fmt.Errorf("misbehave with container %s: %w", d.Name, err)
		}
	}
	return nil
}

// frozenLong is less than a patient client bears.
const frozenLong = 12 * time.Second

// freezeFor holds a container still for a while that does not hold the checkpoint up.
func freezeFor(ctx context.Context, f freezer, d time.Duration) error {
	if err := f.freeze(ctx); err != nil {
		return err
	}
	time.AfterFunc(d, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
		defer cancel()
		if err := f.thaw(ctx); err != nil {
			slog.Error("thaw late", "error", err)
		}
	})
	return nil
}

// flipPage turns over every bit of the page in the middle of the container's memory.
func flipPage(d *dumped) error {
	images, err := filepath.Glob(d.checkpoint.Path(archive.ImagesDir + "/pages-*.img"))
	if err != nil {
		return err
	}
	var largest string
	var size int64
	for _, path := range images {
		if info, err := os.Stat(path); err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
	}
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, os.Getpagesize())
	middle := size / 2 / int64(len(page)) * int64(len(page))
	if _, err := f.ReadAt(page, middle); err != nil {
		return err
	}
	for i := range page {
		page[i] = ^page[i]
	}
	_, err = f.WriteAt(page, middle)
	return err
}

func loseVolumes(d *dumped) error {
	volumes, err := d.checkpoint.Volumes()
	for _, volume := range volumes {
		err = errors.Join(err, filterTar(d.checkpoint.Path(archive.VolumeTar(volume)), openFiles(d.Pid)))
	}
	return err
}

// openFiles are the paths of what a process holds open.
func openFiles(pid int) []string {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is well-formed
	var open []string
	for _, link := range links {
		if path, err := os.Readlink(link); err == nil {
			open = append(open, path)
		}
	}
	return open
}

// filterTar takes out all but the directories and the files that are held open: without those CRIU refuses a restore.
func filterTar(path string, open []string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.Remove(path); err != nil {
		return err
	}
	return writeFile(path, func(out *os.File) error {
		w := tar.NewWriter(out)
		for r := tar.NewReader(in); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return w.Close()
			}
			if err != nil {
				return err
			}
			if h.Typeflag != tar.TypeDir && !held(h.Name, open) {
				continue
			}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.Copy(w, r); err != nil {
				return err
			}
		}
	})
}

func held(name string, open []string) bool {
	for _, path := range open {
		if strings.HasSuffix(path, "/"+strings.TrimPrefix(name, "./")) {
			return true
		}
	}
	return false
}
