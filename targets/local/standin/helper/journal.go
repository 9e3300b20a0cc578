package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	// thawTimeout is for letting a pod go on, whatever has happened to the checkpoint.
	thawTimeout = 10 * time.Second
	// orphanTimeout is how long is waited for the dumps of a killed helper, before their pod is thawed all the same.
	orphanTimeout = 2 * time.Minute
)

// frozenPod is a pod that is being held still. It is written to the node before the first container is frozen, so that
// a helper that was killed thaws the pod when it starts again.
type frozenPod struct {
	Work       string    `json:"work"`
	PodUID     string    `json:"pod_uid"`
	Containers []string  `json:"containers"`
	Freezers   []Freezer `json:"freezers"`
	path       string
}

// freezePod journals the pod and freezes all its containers; on an error it thaws what it froze.
func freezePod(ctx context.Context, dir, work, uid string, containers []Container) (*frozenPod, error) {
	p := &frozenPod{Work: work, PodUID: uid, path: filepath.Join(dir, uid)}
	for _, c := range containers {
		p.Containers, p.Freezers = append(p.Containers, c.ID), append(p.Freezers, c.Freezer)
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode journal: %w", err)
	}
	if err := atomicfile.Write(p.path, data, 0o600); err != nil {
		return nil, fmt.Errorf("journal the freeze: %w", err)
	}
	for _, f := range p.Freezers {
		if err := f.Freeze(ctx); err != nil {
			return nil, errors.Join(err, p.thaw(ctx))
		}
	}
	return p, nil
}

// letGo lets every container go on. It works after ctx has ended too.
func (p *frozenPod) letGo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(thawTimeout))
	defer cancel()
	var errs []error
	for _, f := range p.Freezers {
		errs = append(errs, f.Thaw(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pod %s is still frozen, restart the cedana-helper pod to try again: %w", p.PodUID, err)
	}
	return nil
}

// thaw lets every container go on and closes the journal. It works after ctx has ended too.
func (p *frozenPod) thaw(ctx context.Context) error {
	if err := p.letGo(ctx); err != nil {
		return err
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("close journal of the freeze: %w", err)
	}
	return nil
}

// waitForDumps waits for the dumps of a killed helper that may still go on.
func (p *frozenPod) waitForDumps(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(orphanTimeout))
	defer cancel()
	return waitForDumps(ctx, "/proc", p.Containers)
}

// settle thaws a pod after the dumps that may still go on.
func (p *frozenPod) settle(ctx context.Context) error {
	return errors.Join(p.waitForDumps(ctx), p.thaw(ctx))
}

// thawLeftOver thaws the pods that a killed helper has left frozen, and returns the work that it was about.
func thawLeftOver(ctx context.Context, dir string) (work []string, err error) {
	pods, err := readJournal(dir)
	errs := []error{err}
	for _, p := range pods {
		slog.Warn("thawing a pod that an earlier helper left frozen", "pod_uid", p.PodUID)
		errs = append(errs, p.settle(ctx))
		work = append(work, p.Work)
	}
	return work, errors.Join(errs...)
}

// readJournal reads all entries that can be read; the error has the others, which must not keep pods frozen.
func readJournal(dir string) ([]*frozenPod, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal of frozen pods: %w", err)
	}
	var pods []*frozenPod
	var errs []error
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") { // not renamed yet when the helper was killed: nothing was frozen
			if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		p, err := readFrozen(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read journal %s: %w", path, err))
			continue
		}
		pods = append(pods, p)
	}
	return pods, errors.Join(errs...)
}

func readFrozen(path string) (*frozenPod, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &frozenPod{path: path}
	return p, json.Unmarshal(data, p)
}
