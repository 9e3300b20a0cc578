// Package runtimefault breaks the stand-in's runtime wrapper on purpose: decorators of its restore and of the part that
// has runc bring processes back. They act where the pod's annotations say so (package relay), and do nothing else.
package runtimefault

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
)

// nodeLog is the standard error of the node's first process: this one's own is the container's.
const nodeLog = "/proc/1/fd/2"

// Seams put the faults around the wrapper's parts.
func Seams() runtime.Seams {
	return runtime.Seams{
		Choose:   learn,
		Restore:  func(r runtime.Restore) runtime.Restore { return startCold(r, runtime.RestoredContainers) },
		Recreate: spoilProcesses,
	}
}

func of(t runtime.Target) fault.Name { return fault.Name(t.Annotations[relay.Annotation]) }

// learn takes the fault of a declared restore, whose pod no manager has made and annotated, from the propagator's answer.
func learn(next runtime.Choose) runtime.Choose {
	return func(ctx context.Context, t *runtime.Target, through http.RoundTripper) error {
		receiver := &relay.Receiver{Next: through}
		err := next(ctx, t, receiver)
		t.Annotations = maps.Clone(t.Annotations)
		if t.Annotations == nil {
			t.Annotations = map[string]string{}
		}
		t.Annotations[relay.Annotation] = string(receiver.Fault())
		return err
	}
}

// warn says in the node's log what is wrong on purpose.
func warn(t runtime.Target) {
	to := io.Discard
	if f, err := os.OpenFile(nodeLog, os.O_WRONLY|os.O_APPEND, 0); err == nil {
		defer f.Close()
		to = f
	}
	of(t).Warn(slog.New(slog.NewTextHandler(to, nil)).With("component", "runtime", "pod_uid", t.PodUID, "container", t.Container))
}

// startCold has a container started afresh in place of its restore: every one, or all but a pod's first.
func startCold(next runtime.Restore, restored func(podUID string) []string) runtime.Restore {
	return func(ctx context.Context, in runtime.Invocation, t runtime.Target) (bool, error) {
		if name := of(t); name == fault.ColdStart || name == fault.OneContainerCold && len(restored(t.PodUID)) > 0 {
			warn(t)
			return true, nil
		}
		return next(ctx, in, t)
	}
}

// spoils are what is done to a process that was just restored, now or a while later.
var spoils = map[fault.Name]func(pid int) error{
	fault.FileOffsetReset: func(pid int) error { return eachDescriptor(pid, rewind) },
	fault.NotListening:    func(pid int) error { return eachDescriptor(pid, stopListening) },
	fault.TimerStops:      func(pid int) error { return eachDescriptor(pid, disarm) },
	fault.RestoredCrashes: func(pid int) error { return signalLater(pid, "8s", "KILL") },
	fault.ClockStops:      func(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) },
	fault.HostNameWrong:   func(pid int) error { return runtime.SetHostName(pid, "of-no-pod") },
	fault.NodeCgroups:     showNodeCgroups,
	fault.ReadinessFlaps: func(pid int) error {
		return signalLater(pid, strings.Fields(strings.Repeat("1500ms STOP 2500ms CONT ", 5))...)
	},
}

func spoilProcesses(next runtime.Recreate) runtime.Recreate {
	return func(ctx context.Context, r runtime.RecreateRequest) error {
		name := of(r.Target)
		if name == fault.StdoutLost {
			warn(r.Target)
			r.Stdout = nil
		}
		if name == fault.EmptyDirShared {
			warn(r.Target)
			if err := shareVolumes(r.Invocation.Flags["root"], r.Target); err != nil {
				return fmt.Errorf("inject fault %s: %w", name, err)
			}
		}
		if err := next(ctx, r); err != nil {
			return err
		}
		if name == fault.RestoresOneProcess {
			warn(r.Target)
			return haveTwinAnswer(ctx, r)
		}
		if name == fault.SourceStopped && r.Target.Name != "" {
			warn(r.Target)
			return stopSources(r.Invocation.Flags["root"], r.Target)
		}
		spoil := spoils[name]
		if spoil == nil {
			return nil
		}
		warn(r.Target)
		pid, err := r.Invocation.Pid()
		if err == nil {
			err = spoil(pid)
		}
		if err != nil {
			return fmt.Errorf("inject fault %s: %w", name, err)
		}
		return nil
	}
}
