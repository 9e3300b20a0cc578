package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// do is one unit of work from start to result.
func (h *Helper) do(ctx context.Context, w *work.Work) worker.Outcome {
	if w.Kind != work.KindCheckpoint || w.Checkpoint == nil {
		return worker.Failed(fmt.Errorf("helper on node %s was given work of kind %q, which it does not do", h.config.Node, w.Kind))
	}
	containers, size, err := h.checkpoint(ctx, w)
	if err != nil {
		return worker.Failed(err)
	}
	// A result that comes too late needs no undoing: the propagator removes archives that belong to no checkpoint.
	return worker.Outcome{Result: work.Result{Containers: containers, TotalIO: size}}
}

func (h *Helper) checkpoint(ctx context.Context, w *work.Work) (_ []work.ContainerCheckpoint, size int64, err error) {
	request := w.Checkpoint
	if h.problem != nil {
		return nil, 0, fmt.Errorf("node %s cannot checkpoint: %w", h.config.Node, h.problem)
	}
	how, err := h.options(request)
	if err != nil {
		return nil, 0, err
	}
	pod, err := decodePod(request)
	if err != nil {
		return nil, 0, err
	}
	unlock, err := h.pods.lock(ctx, request.PodUID)
	if err != nil {
		return nil, 0, fmt.Errorf("wait for the pod's earlier checkpoint to end: %w", err)
	}
	defer unlock()
	dir := filepath.Join(h.workDir, "checkpoint-"+w.ID)
	defer func() {
		if removeErr := os.RemoveAll(dir); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("remove working files: %w", removeErr))
		}
	}()
	all, frozen, err := h.dump(ctx, DumpRequest{
		Work: w.ID, ActionID: w.ActionID, PodUID: request.PodUID, Pod: pod, RuncRoot: request.RuncRoot, Dir: dir,
	})
	if err != nil {
		return nil, 0, err
	}
	if how.tellOfDump {
		if err := h.store.Dumped(ctx, w.ActionID); err != nil {
			return nil, 0, fmt.Errorf("tell of the dump: %w", err)
		}
	}
	results := make([]work.ContainerCheckpoint, len(all))
	group, ctx := errgroup.WithContext(ctx)
	for i, d := range all {
		group.Go(func() (err error) {
			results[i], err = h.upload(ctx, w, how, pod, d, frozen)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	for _, r := range results {
		size += r.Size
	}
	return results, size, nil
}

func decodePod(request *work.Checkpoint) (*corev1.Pod, error) {
	if len(request.Pod) == 0 {
		return nil, nil
	}
	var pod corev1.Pod
	if err := json.Unmarshal(request.Pod, &pod); err != nil {
		return nil, fmt.Errorf("read the pod to checkpoint: %w", err)
	}
	return &pod, nil
}

// upload describes one container's checkpoint, packs it and hands it to the propagator, which then has all that a
// restore on any node needs. What the API has calls of their own for (POST /checkpoints and the like) goes with the
// result: each such call would cost the propagator a write to its file, and the caller that time.
func (h *Helper) upload(ctx context.Context, w *work.Work, how options, pod *corev1.Pod, d *Dumped, frozen time.Duration) (work.ContainerCheckpoint, error) {
	result := work.ContainerCheckpoint{
		Container: d.Name, Name: d.Declared, GPU: "none", Platform: "linux/" + h.tools.Arch,
		Path: path.Join(how.directory, w.ActionID, d.Name+how.compression.Extension()),
	}
	if err := describe(d, pod); err != nil {
		return result, fmt.Errorf("describe checkpoint of container %s: %w", d.Name, err)
	}
	packed, err := d.Checkpoint.Pack()
	if err != nil {
		return result, err
	}
	begin := time.Now()
	stored, err := h.store.Put(ctx, result.Path, packed.Size(how.compression), func() io.ReadCloser { return packed.Open(how.compression) })
	if err != nil {
		return result, fmt.Errorf("upload checkpoint of container %s: %w", d.Name, err)
	}
	result.SHA256, result.Size = stored.SHA256, stored.Size
	memory, err := d.Checkpoint.Memory()
	if err != nil {
		return result, err
	}
	result.Info, err = json.Marshal(struct {
		propagator.CheckpointInfo
		Needs refusal.Needs `json:"needs"`
	}{
		h.info(d, frozen, time.Since(begin)),
		refusal.Needs{Format: refusal.Format, CPUFeatures: refusal.CPUFeatures(), Memory: memory},
	})
	if err != nil {
		return result, fmt.Errorf("encode checkpoint info: %w", err)
	}
	return result, nil
}

// info is what only this node knows; the propagator adds the rest.
func (h *Helper) info(d *Dumped, frozen, upload time.Duration) propagator.CheckpointInfo {
	return propagator.CheckpointInfo{
		CRIU: h.tools.CRIUVersion, Runc: h.tools.RuncVersion, Kernel: h.tools.Kernel, Arch: h.tools.Arch,
		Freeze: frozen.Nanoseconds(),
		Profiling: map[string]int64{
			"freeze": frozen.Nanoseconds(), "criu_dump": d.dump.Nanoseconds(), "copy_files": d.files.Nanoseconds(),
			"upload": upload.Nanoseconds(),
		},
	}
}

// describe writes the files by which others know what the archive is of.
func describe(d *Dumped, pod *corev1.Pod) error {
	spec, err := os.ReadFile(filepath.Join(d.Bundle, "config.json"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.Checkpoint.Path(archive.SpecDump), spec, 0o600); err != nil {
		return err
	}
	config := archive.ContainerConfig{
		ID: d.ID, Name: d.Name, RootfsImageName: d.Image, OCIRuntime: "runc",
		CreatedTime: d.Created, CheckpointedAt: time.Now().UTC(),
	}
	if pod != nil {
		for _, s := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
			if s.Name == d.Name {
				config.RootfsImage, config.RootfsImageRef = s.Image, s.ImageID
			}
		}
	}
	return d.Checkpoint.WriteJSON(archive.ConfigDump, config)
}
