package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
	"github.com/cedana/cedana-e2e/targets/local/standin/cri"
	"github.com/cedana/cedana-e2e/targets/local/standin/criu"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// reportTimeout bounds the telling of a failed restore.
const reportTimeout = 10 * time.Second

// Restore puts a container in place of `create` from its checkpoint. cold means that it did not, and that the container
// is to be started as any other.
type Restore func(ctx context.Context, in Invocation, t Target) (cold bool, err error)

// Recreate has runc and CRIU bring a container's processes back.
type Recreate func(context.Context, RecreateRequest) error

// RecreateRequest says what to bring back and from where.
type RecreateRequest struct {
	Invocation Invocation
	Target     Target
	// Images has CRIU's images; WorkPath takes its logs.
	Images, WorkPath string
	// Stdout becomes the processes' standard output; nil means /dev/null.
	Stdout *os.File
}

// restore is the wrapper's Restore with what is put around it and its part.
func (s Seams) restore() Restore {
	r := restorer{recreate: recreate, image: cri.ImageRef}
	if s.Recreate != nil {
		r.recreate = s.Recreate(r.recreate)
	}
	if s.Restore != nil {
		return s.Restore(r.restore)
	}
	return r.restore
}

type restorer struct {
	recreate Recreate
	// image is the digest of the image that a container, by its id, was made of.
	image func(ctx context.Context, id string) (string, error)
}

// restore puts a container in place of `create` from its checkpoint. cold means that the container was restored before
// and is to be started as any other: a restart starts afresh. A restore that was asked for of the propagator fails again at
// once after a failure: it has been reported as failed, and must not succeed behind that. A declared one is tried again
// as often as the kubelet tries.
func (r restorer) restore(ctx context.Context, in Invocation, t Target) (cold bool, err error) {
	marks := markersOf(t.PodUID)
	if _, restored, err := marks.has(kindContainer, t.Container); restored || err != nil {
		return restored, err
	}
	if reason, failed, err := marks.has(kindFailed, t.Container); failed || err != nil {
		return false, errors.Join(err, errors.New(reason))
	}
	config, err := layout.LoadConfig(layout.ConfigFile)
	if err != nil {
		return false, err
	}
	ctx, cancel := within(ctx, config)
	defer cancel()
	err = r.restoreOnce(ctx, in, t, marks)
	if err == nil {
		return false, nil
	}
	err = refusal.Coded(fmt.Errorf("restore container %s from checkpoint %s: %w", t.Container, t.Checkpoint, err))
	if t.Name != "" {
		return false, err
	}
	return false, errors.Join(err, marks.set(kindFailed, t.Container, err.Error()), report(ctx, t, err))
}

// within bounds a restore; its cause says by what.
func within(ctx context.Context, c layout.Config) (context.Context, context.CancelFunc) {
	limit := c.RestoreTimeout.Duration
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %s (E2E_RESTORE_TIMEOUT)", limit))
}

func (r restorer) restoreOnce(ctx context.Context, in Invocation, t Target, marks markers) (err error) {
	source, err := connect(nil)
	if err != nil {
		return err
	}
	held, err := layout.MakeHeld(layout.WorkDir, layout.RestorePrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Remove()) }()
	dir := held.Path
	spec, err := bundle.Read(t.Bundle)
	if err != nil {
		return err
	}
	checkpoint, err := fetch(ctx, source, t, filepath.Join(dir, "archive"), func(c work.ContainerCheckpoint) error {
		return refusal.Machine(c, source.Node, memoryLimit(spec))
	})
	if err != nil {
		return err
	}
	// Before anything of it is laid into the pod.
	if err := r.fits(ctx, in, t, spec, checkpoint); err != nil {
		return err
	}
	if err := t.settle(marks); err != nil {
		return err
	}
	if err := layFiles(t, checkpoint, marks); err != nil {
		return err
	}
	workPath := filepath.Join(dir, "work")
	if err := os.Mkdir(workPath, 0o700); err != nil {
		return fmt.Errorf("make working directory: %w", err)
	}
	err = r.recreate(ctx, RecreateRequest{
		Invocation: in, Target: t, Images: checkpoint.Path(archive.ImagesDir), WorkPath: workPath, Stdout: os.Stdout,
	})
	if err != nil {
		return err
	}
	if err := marks.set(kindContainer, t.Container, t.Checkpoint); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(layout.StartedDir, in.ID), nil, 0o600)
}

// connect is the propagator as the node's helper knows it.
func connect(through http.RoundTripper) (*worker.Client, error) {
	config, err := layout.LoadConfig(layout.ConfigFile)
	if err != nil {
		return nil, err
	}
	if err := config.Trust(); err != nil {
		return nil, err
	}
	return worker.New(config.URL, settings.Secret(config.Token), work.RoleHelper, config.ClusterID, config.Node, through)
}

// fetch downloads the container's archive and unpacks it into dir; nothing of it is used before its checksum is right.
// admit is asked beforehand whether it can be restored here.
func fetch(ctx context.Context, source *worker.Client, t Target, dir string, admit func(work.ContainerCheckpoint) error) (checkpoint archive.Checkpoint, err error) {
	err = worker.Retry(ctx, "fetch of checkpoint "+t.Checkpoint, func() (err error) {
		checkpoint, err = fetchOnce(ctx, source, t, dir, admit)
		return err
	})
	if err != nil && !errors.Is(err, errNotInCheckpoint) && !refusal.Is(err) {
		return archive.Checkpoint{}, fmt.Errorf("fetch checkpoint: %w", err)
	}
	return checkpoint, err
}

var errNotInCheckpoint = errors.New("the checkpoint has no such container")

func fetchOnce(ctx context.Context, source *worker.Client, t Target, dir string, admit func(work.ContainerCheckpoint) error) (c archive.Checkpoint, err error) {
	manifest, err := source.Manifest(ctx, t.Checkpoint, t.Namespace)
	if err != nil {
		return c, err
	}
	entry, err := findEntry(manifest, t.Container)
	if err == nil {
		err = admit(entry)
	}
	if err != nil {
		return c, backoff.Permanent(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return c, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, err
	}
	body, err := source.Get(ctx, entry.Path)
	if err != nil {
		return c, err
	}
	defer body.Close()
	sum := newBesideSum()
	content := io.TeeReader(body, sum)
	c, err = archive.Unpack(dir, content)
	// What cannot be unpacked may be damaged, or cut off on its way here.
	_, restErr := io.Copy(io.Discard, content)
	if got := sum.finish(); restErr == nil && got != entry.SHA256 {
		return c, backoff.Permanent(refusal.New(refusal.ArchiveDamaged,
			"archive %s is damaged: its SHA-256 is %s, and was %s when it was made", entry.Path, got, entry.SHA256))
	}
	return c, err
}

func findEntry(m work.Manifest, container string) (work.ContainerCheckpoint, error) {
	var names []string
	for _, entry := range m.Containers {
		if entry.Container == container {
			return entry, nil
		}
		names = append(names, entry.Container)
	}
	return work.ContainerCheckpoint{}, fmt.Errorf("%w: it has %s", errNotInCheckpoint, strings.Join(names, ", "))
}

// layFiles gives the container the files that its processes had. Volumes belong to the pod, so each is laid once.
func layFiles(t Target, c archive.Checkpoint, marks markers) error {
	deleted, err := c.Deleted()
	if err != nil {
		return err
	}
	if err := archive.Delete(t.Rootfs, deleted); err != nil {
		return fmt.Errorf("restore root file system: %w", err)
	}
	if err := extract(c.Path(archive.RootfsDiff), t.Rootfs); err != nil {
		return fmt.Errorf("restore root file system: %w", err)
	}
	volumes, err := c.Volumes()
	if err != nil {
		return err
	}
	for _, volume := range volumes {
		err := marks.once(kindVolume, volume, func() error {
			dir := layout.EmptyDir(t.PodUID, volume)
			// The init containers of a pod that was not made for a restore have run, and may have written to it.
			if err := archive.Empty(dir); err != nil {
				return err
			}
			return extract(c.Path(archive.VolumeTar(volume)), dir)
		})
		if err != nil {
			return fmt.Errorf("restore emptyDir volume %s: %w", volume, err)
		}
	}
	if _, err := os.Stat(c.Path(archive.DevShm)); err != nil {
		return nil // the pod had no shared memory
	}
	shm, err := bundle.MountSource(t.Bundle, "/dev/shm")
	if err == nil {
		err = marks.once(kindShm, "pod", func() error { return extract(c.Path(archive.DevShm), shm) })
	}
	if err != nil {
		return fmt.Errorf("restore shared memory: %w", err)
	}
	return nil
}

func extract(tarball, dir string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	return archive.Extract(dir, f)
}

// recreate has the node's runc and CRIU bring the processes back, with this process's own standard streams: they are
// the container's. CRIU's reason for a failure is in restore.log.
func recreate(ctx context.Context, r RecreateRequest) error {
	in, t := r.Invocation, r.Target
	runc, err := realRunc()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, runc, restoreArguments(in, t, r.Images, r.WorkPath)...)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	if r.Stdout != nil {
		cmd.Stdout = r.Stdout
	}
	spec, err := bundle.Read(t.Bundle)
	if err != nil {
		return err
	}
	if err := inCgroupNamespace(cmd, spec, filepath.Join(r.WorkPath, "bin")); err != nil {
		return err
	}
	name, err := hostName(spec)
	if err != nil {
		return err
	}
	if err = runInGroups(cmd, spec); err == nil {
		err = nameHost(in, name)
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	reason := criu.ReasonFile(filepath.Join(r.WorkPath, "restore.log"))
	if reason == "" {
		reason = lastLogged(in.Flags["log"])
	}
	deleteErr := exec.Command(runc, append(append([]string{}, in.Globals...), "delete", "--force", in.ID)...).Run()
	return fmt.Errorf("runc restore: %w: %s", errors.Join(err, deleteErr), reason)
}

// restoreArguments turns a `create` into a `restore`.
func restoreArguments(in Invocation, t Target, images, workPath string) []string {
	args := append(append([]string{}, in.Globals...), "restore", "--detach", "--bundle", t.Bundle)
	args = append(args, criu.Arguments(images, workPath)...)
	for _, flag := range []string{"pid-file", "console-socket"} {
		if value := in.Flags[flag]; value != "" {
			args = append(args, "--"+flag, value)
		}
	}
	if in.Flags["no-pivot"] != "" {
		args = append(args, "--no-pivot")
	}
	return append(args, in.ID)
}

// lastLogged is the last line of runc's log.
func lastLogged(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "no reason was logged"
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(lines[len(lines)-1])
}

// report tells the propagator why the restore failed, also when the time for it is over.
func report(ctx context.Context, t Target, reason error) error {
	if t.Restore == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(reportTimeout))
	defer cancel()
	config, err := layout.LoadConfig(layout.ConfigFile)
	if err != nil {
		return err
	}
	if err := config.Trust(); err != nil {
		return err
	}
	client, err := propagator.New(config.URL, settings.Secret(config.Token), propagator.WithPrefix("/v2"))
	if err != nil {
		return err
	}
	if err := client.PutRestoreInfo(ctx, t.Restore, propagator.RestoreInfoRequest{Error: reason.Error()}); err != nil {
		return fmt.Errorf("report the failure: %w", err)
	}
	return nil
}
