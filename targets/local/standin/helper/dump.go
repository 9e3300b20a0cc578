package helper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/criu"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
)

// Dumped is a container with its checkpoint on disk.
type Dumped struct {
	Container
	Checkpoint archive.Checkpoint
	// dump and files are how long CRIU and the copying of files took, side by side.
	dump, files time.Duration
}

// Dump takes a checkpoint of a pod's containers into the request's directory, in one freeze whose length it returns.
type Dump func(context.Context, DumpRequest) (all []*Dumped, frozen time.Duration, err error)

// DumpRequest says of what to take a checkpoint.
type DumpRequest struct {
	// Work is the id of the unit of work, ActionID that of the action.
	Work, ActionID string
	PodUID         string
	// Pod is the pod as last reported; nil where nothing is known of it but its UID.
	Pod *corev1.Pod
	// RuncRoot is the runc root to look for the containers in; empty means the node's.
	RuncRoot string
	// Dir is an absolute path; it need not exist.
	Dir string
}

// dumpPod freezes all containers, takes memory and files of each in that one freeze, and lets them go on. A container's
// memory and files of different moments do not fit together: CRIU refuses the restore over a file's size.
func (h *Helper) dumpPod(ctx context.Context, r DumpRequest) (_ []*Dumped, frozen time.Duration, err error) {
	root := cmp.Or(r.RuncRoot, h.runcRoot)
	containers, err := findContainers(root, r.PodUID, r.Pod)
	if err != nil {
		if root != h.runcRoot {
			err = fmt.Errorf("%w: this node's is %s", err, h.runcRoot)
		}
		return nil, 0, err
	}
	if err := readDeclared(containers); err != nil {
		return nil, 0, err
	}
	named := declaring(containers)
	volumes := ownedVolumes(r.Pod, named)
	var all []*Dumped
	for _, c := range containers {
		d := &Dumped{Container: c, Checkpoint: archive.Checkpoint{Dir: filepath.Join(r.Dir, c.Name)}}
		for _, sub := range []string{archive.ImagesDir, archive.VolumesDir} {
			if err := os.MkdirAll(d.Checkpoint.Path(sub), 0o700); err != nil {
				return nil, 0, fmt.Errorf("make checkpoint directory: %w", err)
			}
		}
		all = append(all, d)
	}
	if ctx.Err() != nil {
		return nil, 0, fmt.Errorf("dump pod: %w", context.Cause(ctx))
	}
	// Once begun, a dump is not given up because the helper is to stop: a process whose dump breaks off in the middle
	// may be left with CRIU's code in it.
	ctx, cancel := h.within(context.WithoutCancel(ctx))
	defer cancel()
	if err := refuseStopped("/proc", containers); err != nil {
		return nil, 0, err
	}
	still, err := freezePod(ctx, h.frozenDir, r.Work, r.PodUID, containers)
	if err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	defer func() {
		thawErr := still.thaw(ctx)
		frozen = time.Since(begin)
		err = errors.Join(err, thawErr)
	}()
	var group errgroup.Group
	for i, d := range all {
		group.Go(func() error {
			start := time.Now()
			defer func() { d.dump = time.Since(start) }()
			return h.tools.dump(ctx, root, d)
		})
		group.Go(func() error {
			start := time.Now()
			defer func() { d.files = time.Since(start) }()
			// The pod's shared memory goes with its volumes.
			return copyFiles(d, r.PodUID, volumes[d.Name], i == 0 || len(named) > 0 && d.Name == named[0])
		})
	}
	return all, 0, group.Wait()
}

// within bounds a dump; its cause says by what.
func (h *Helper) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, h.dumpTimeout, fmt.Errorf("not done after %s (E2E_CHECKPOINT_TIMEOUT)", h.dumpTimeout))
}

// dump has runc and CRIU write a container's processes. The cgroup is frozen before and after: CRIU lets only the
// processes that it holds by ptrace run, and freezes again what it found frozen.
func (t tools) dump(ctx context.Context, root string, d *Dumped) error {
	work := d.Checkpoint.Dir // for dump.log and stats-dump, which belong at the archive's top
	args := append([]string{"--root", root, "checkpoint", "--leave-running"}, criu.Arguments(d.Checkpoint.Path(archive.ImagesDir), work)...)
	cmd := exec.CommandContext(ctx, t.Runc, append(args, d.ID)...)
	cmd.Env = t.environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	// A file and not a pipe: the dump must be able to outlive this process.
	path := d.Checkpoint.Dir + ".runc"
	output, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("dump container %s: %w", d.Name, err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	if err = startOutside(cmd); err == nil {
		err = cmd.Wait()
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	reason := criu.ReasonFile(d.Checkpoint.Path(archive.DumpLog))
	if said, readErr := os.ReadFile(path); reason == "" && readErr == nil {
		reason = strings.TrimSpace(string(said))
	}
	return fmt.Errorf("dump container %s: %w: %s", d.Name, err, reason)
}

// copyFiles takes what CRIU does not: the changes to the root file system, the emptyDir volumes that this container
// owns, and, for the pod's first container, the pod's shared memory.
func copyFiles(d *Dumped, uid string, volumes []string, first bool) error {
	mountinfo, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", d.Pid))
	if err != nil {
		return fmt.Errorf("copy files of container %s: %w", d.Name, err)
	}
	defer mountinfo.Close()
	overlay, err := archive.RootOverlay(mountinfo)
	if err != nil {
		return fmt.Errorf("copy files of container %s: %w", d.Name, err)
	}
	var deleted []string
	err = writeFile(d.Checkpoint.Path(archive.RootfsDiff), func(f *os.File) (err error) {
		deleted, err = overlay.Diff(f)
		return err
	})
	if err == nil {
		err = d.Checkpoint.WriteJSON(archive.DeletedFiles, deleted)
	}
	if err != nil {
		return fmt.Errorf("copy root file system of container %s: %w", d.Name, err)
	}
	for _, volume := range volumes {
		if err := writeTree(d.Checkpoint.Path(archive.VolumeTar(volume)), layout.EmptyDir(uid, volume)); err != nil {
			return fmt.Errorf("copy emptyDir volume %s: %w", volume, err)
		}
	}
	shm := fmt.Sprintf("/proc/%d/root/dev/shm", d.Pid)
	if entries, err := os.ReadDir(shm); first && err == nil && len(entries) > 0 {
		if err := writeTree(d.Checkpoint.Path(archive.DevShm), shm); err != nil {
			return fmt.Errorf("copy shared memory of the pod: %w", err)
		}
	}
	return nil
}

func writeTree(path, dir string) error {
	return writeFile(path, func(f *os.File) error { return archive.Tree(f, dir) })
}

func writeFile(path string, write func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
