package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
)

// WatcherCommand is the argument under which the stand-in's binary is a helper's watcher.
const WatcherCommand = "helper-watcher"

// Watcher is `cedana helper-watcher`: it waits for the end of its standard input, which is that of the helper that started
// it, and lets the pods go on that the helper has left frozen. Until a new helper runs minutes may pass, in
// CrashLoopBackOff for instance. A dump under way is waited for first: CRIU would freeze the pod again at its end.
func Watcher(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("watch a helper: want the directory of frozen pods, got %q", args)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return fmt.Errorf("watch a helper: %w", err)
	}
	return thawAbandoned(ctx, args[0])
}

// startWatcher starts the watcher of this process with start. It ends with this process, however that ends.
func startWatcher(binary, frozenDir string, start func(*exec.Cmd) error) error {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the helper's watcher: %w", err)
	}
	defer ours.Close()
	cmd := exec.Command(binary, WatcherCommand, frozenDir)
	cmd.Stdin, cmd.Stderr = ours, os.Stderr
	if err := start(cmd); err != nil {
		return errors.Join(fmt.Errorf("start the helper's watcher: %w", err), theirs.Close())
	}
	go func() {
		err := cmd.Wait()
		slog.Error("the helper's watcher has ended: a pod that is frozen when the helper is killed stays so until the next one starts", "error", err)
		_ = theirs.Close() // held open until here: its end is what the watcher waits for
	}()
	return nil
}

// thawAbandoned lets the pods in the journal go on. Their entries stay: by them the next helper knows what work was broken
// off. It may have frozen a pod anew by now, which is left alone.
func thawAbandoned(ctx context.Context, dir string) error {
	pods, err := readJournal(dir)
	errs := []error{err}
	for _, p := range pods {
		errs = append(errs, p.waitForDumps(ctx), letGoUnlessTaken(ctx, p))
	}
	return errors.Join(errs...)
}

// letGoUnlessTaken lets a pod go on unless a helper has seen to it since.
func letGoUnlessTaken(ctx context.Context, p *frozenPod) error {
	if now, err := readFrozen(p.path); err != nil || now.Work != p.Work {
		return nil //nolint:nilerr // an entry that cannot be read is another's, being written or removed
	}
	return p.letGo(ctx)
}
