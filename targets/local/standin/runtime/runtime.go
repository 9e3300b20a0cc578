// Package runtime is the stand-in under the name runc: the node's runc, except that a container that names a checkpoint
// is restored from it when it is created. The manager names one by its action, in an annotation of the pod that it makes;
// a container names one itself in its environment (package bundle), whoever makes its pod.
package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// Seams are where something can be put around the parts of the wrapper; the zero value puts nothing. Each is given a
// part and returns what to use in its place.
type Seams struct {
	Choose   func(Choose) Choose
	Restore  func(Restore) Restore
	Recreate func(Recreate) Recreate
}

// Main does `create` of a container that names a checkpoint and the `start` that follows; for everything else it turns
// into the node's runc.
func Main(ctx context.Context, args []string, seams Seams) error {
	in := parse(args)
	switch in.Command {
	case "start":
		if swallowed, err := swallowStart(layout.StartedDir, in.ID); swallowed || err != nil {
			return fail(in, err)
		}
	case "create":
		target, err := readTarget(in.bundle())
		if err != nil {
			return fail(in, err)
		}
		if target != nil {
			cold, err := create(ctx, in, *target, seams)
			if !cold {
				return fail(in, err)
			}
		}
	}
	return become(args)
}

// create is a container's `create`: its restore, unless it is cold.
func create(ctx context.Context, in Invocation, t Target, seams Seams) (cold bool, err error) {
	if t.Name != "" {
		if err := seams.choose()(ctx, &t, nil); err != nil {
			return false, fmt.Errorf("restore container %s from the newest checkpoint of the name %q: %w", t.Container, t.Name, err)
		}
		if t.Checkpoint == "" {
			return true, nil
		}
	}
	return seams.restore()(ctx, in, t)
}

// become replaces this process by the node's runc; it returns only on failure.
func become(args []string) error {
	runc, err := realRunc()
	if err != nil {
		return err
	}
	err = syscall.Exec(runc, append([]string{runc}, args...), os.Environ())
	return fmt.Errorf("execute %s: %w", runc, err)
}

func realRunc() (string, error) {
	runc := layout.FindExecutable("runc")
	if runc == "" {
		return "", errors.New("find the node's runc: only the stand-in's wrapper is in PATH")
	}
	return runc, nil
}

// Target says which checkpoint a container is to be restored from.
type Target struct {
	Container string
	PodUID    string
	Pod       string
	Namespace string
	// Checkpoint is the checkpoint action; empty as long as only Name is known.
	Checkpoint string
	Restore    string // the restore action, for reports; may be empty
	// Name is the checkpoint's name that the container declares; empty when an annotation names the action.
	Name   string
	Bundle string
	Rootfs string
	// Annotations are all of the container's, which has those of its pod.
	Annotations map[string]string
}

// readTarget reads a bundle; nil means that it asks for no restore: it names no checkpoint, or is the pod's sandbox.
func readTarget(dir string) (*Target, error) {
	spec, err := bundle.Read(dir)
	if err != nil {
		return nil, err
	}
	t := &Target{
		Container: spec.Annotations[bundle.AnnotationName], PodUID: spec.Annotations[bundle.AnnotationPodUID],
		Pod: spec.Annotations[bundle.AnnotationPod], Namespace: spec.Annotations[bundle.AnnotationNamespace],
		Checkpoint: spec.Annotations[work.AnnotationCheckpoint], Restore: spec.Annotations[work.AnnotationRestore],
		Bundle: dir, Annotations: spec.Annotations,
	}
	if spec.Annotations[bundle.AnnotationType] != bundle.TypeContainer {
		return nil, nil
	}
	if t.Checkpoint == "" {
		if t.Name = bundle.CheckpointName(spec); t.Name == "" {
			return nil, nil
		}
	}
	if spec.Root == nil {
		return nil, fmt.Errorf("read bundle %s: it has no root", dir)
	}
	if t.Rootfs = spec.Root.Path; !filepath.IsAbs(t.Rootfs) {
		t.Rootfs = filepath.Join(dir, t.Rootfs)
	}
	if !filepath.IsLocal(t.PodUID) || !filepath.IsLocal(t.Container) {
		return nil, fmt.Errorf("read bundle %s: pod uid %q or container name %q is no plain name", dir, t.PodUID, t.Container)
	}
	return t, nil
}

// swallowStart takes back the note that `create` left: the container is running already.
func swallowStart(dir, id string) (bool, error) {
	if !filepath.IsLocal(id) {
		return false, nil // runc will say what is wrong with it
	}
	err := os.Remove(filepath.Join(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// fail writes an error where containerd's shim looks for runc's, and passes it on.
func fail(in Invocation, err error) error {
	path := in.Flags["log"]
	if err == nil || path == "" {
		return err
	}
	line, marshalErr := json.Marshal(map[string]string{
		"level": "error", "msg": err.Error(), "time": time.Now().UTC().Format(time.RFC3339),
	})
	if marshalErr != nil {
		return errors.Join(err, marshalErr)
	}
	f, openErr := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	_, writeErr := f.Write(append(line, '\n'))
	return errors.Join(err, writeErr, f.Close())
}
