// Package helperfault breaks the stand-in's helper on purpose: a decorator of what takes checkpoints. It acts where the
// propagator says so (package relay), and does nothing else.
package helperfault

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

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/helper"
)

// Seams put the faults around a helper's parts.
func Seams() helper.Seams {
	receiver := &relay.Receiver{}
	return helper.Seams{Transport: receiver, Dump: func(d helper.Dump) helper.Dump { return decorate(d, receiver.Fault) }}
}

// decorate has dump look in another runc root, or spoils what it has made, or its source.
func decorate(dump helper.Dump, current func() fault.Name) helper.Dump {
	return func(ctx context.Context, r helper.DumpRequest) ([]*helper.Dumped, time.Duration, error) {
		name := current()
		spoil := spoils[name]
		if spoil != nil || name == fault.AnyRuncRoot {
			name.Warn(slog.Default().With("action", r.ActionID))
		}
		if name == fault.AnyRuncRoot {
			r.RuncRoot = "" // the node's own, whatever was asked for
		}
		if name == fault.FrozenApart {
			name.Warn(slog.Default().With("action", r.ActionID))
			return apart(ctx, dump, r)
		}
		if name == fault.ImageDiffers {
			forgetImages(r.Pod)
		}
		all, frozen, err := dump(ctx, r)
		if err != nil || spoil == nil {
			return all, frozen, err
		}
		for _, d := range all {
			if err := spoil(ctx, d); err != nil {
				return nil, 0, fmt.Errorf("inject fault %s into container %s: %w", name, d.Name, err)
			}
		}
		return all, frozen, nil
	}
}

// forgetImages leaves out of a checkpoint of which images it is, so that the runtime does not refuse others.
func forgetImages(pod *corev1.Pod) {
	if pod == nil {
		return
	}
	for i := range pod.Status.ContainerStatuses {
		pod.Status.ContainerStatuses[i].ImageID = ""
	}
}

// betweenFreezes is how long a pod runs between the freeze of its first container and that of the others.
const betweenFreezes = time.Second

// apart is a checkpoint whose first container was frozen earlier than the others.
func apart(ctx context.Context, dump helper.Dump, r helper.DumpRequest) ([]*helper.Dumped, time.Duration, error) {
	first, frozen, err := dump(ctx, r)
	if err != nil || len(first) < 2 {
		return first, frozen, err
	}
	time.Sleep(betweenFreezes)
	r.Dir = filepath.Join(r.Dir, "later")
	later, frozen, err := dump(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	return append(first[:1], later[1:]...), frozen, nil
}

// spoils are what is done to each container's checkpoint, or to the container, after the dump and before the upload.
var spoils = map[fault.Name]func(context.Context, *helper.Dumped) error{
	fault.MemoryFlipped: func(_ context.Context, d *helper.Dumped) error { return flipPage(d) },
	fault.RootfsLost: func(_ context.Context, d *helper.Dumped) error {
		return filterTar(d.Checkpoint.Path(archive.RootfsDiff), nil)
	},
	fault.RootfsLostForgotten: func(_ context.Context, d *helper.Dumped) error {
		return filterTar(d.Checkpoint.Path(archive.RootfsDiff), openFiles(d.Pid))
	},
	fault.EmptyDirLost: func(_ context.Context, d *helper.Dumped) error { return loseVolumes(d) },
	fault.DeletedFileReturns: func(_ context.Context, d *helper.Dumped) error {
		return d.Checkpoint.WriteJSON(archive.DeletedFiles, []string{})
	},
	fault.ImageDiffers:     func(_ context.Context, d *helper.Dumped) error { return addProgram(d) },
	fault.SourceFrozen:     func(ctx context.Context, d *helper.Dumped) error { return d.Freezer.Freeze(ctx) },
	fault.SourceFrozenLong: func(ctx context.Context, d *helper.Dumped) error { return freezeFor(ctx, d.Freezer, frozenLong) },
	fault.SourceKilled:     func(_ context.Context, d *helper.Dumped) error { return syscall.Kill(d.Pid, syscall.SIGKILL) },
}

const (
	// frozenLong is less than a patient client bears.
	frozenLong  = 12 * time.Second
	thawTimeout = 10 * time.Second
)

// freezeFor holds a container still for a while that does not hold the checkpoint up.
func freezeFor(ctx context.Context, f helper.Freezer, d time.Duration) error {
	if err := f.Freeze(ctx); err != nil {
		return err
	}
	time.AfterFunc(d, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
		defer cancel()
		if err := f.Thaw(ctx); err != nil {
			slog.Error("thaw late", "error", err)
		}
	})
	return nil
}

// flipPage turns over every bit of the page in the middle of the container's memory.
func flipPage(d *helper.Dumped) error {
	images, err := filepath.Glob(d.Checkpoint.Path(archive.ImagesDir + "/pages-*.img"))
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

func loseVolumes(d *helper.Dumped) error {
	volumes, err := d.Checkpoint.Volumes()
	for _, volume := range volumes {
		err = errors.Join(err, filterTar(d.Checkpoint.Path(archive.VolumeTar(volume)), openFiles(d.Pid)))
	}
	return err
}

// addProgram puts the container's program among the changes to its root file system, so that it can be restored from an
// image that does not have it.
func addProgram(d *helper.Dumped) error {
	link := fmt.Sprintf("/proc/%d/exe", d.Pid)
	name, err := os.Readlink(link)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(link)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d.Checkpoint.Path(archive.RootfsDiff), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(-tarEnd, io.SeekEnd); err != nil {
		return err
	}
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	_, err = w.Write(program)
	return errors.Join(err, w.Close())
}

// tarEnd is the size of an archive's end.
const tarEnd = 1024

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
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(copyKept(tar.NewWriter(out), tar.NewReader(in), open), out.Close())
}

func copyKept(w *tar.Writer, r *tar.Reader, open []string) error {
	for {
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
}

func held(name string, open []string) bool {
	for _, path := range open {
		if strings.HasSuffix(path, "/"+strings.TrimPrefix(name, "./")) {
			return true
		}
	}
	return false
}
