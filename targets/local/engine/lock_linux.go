package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock keeps other commands from starting or stopping the same private engine meanwhile. Its file is beside RunDir,
// which Stop removes, and is removed with the lock.
func lock(ctx context.Context, o Options) (unlock func(), err error) {
	path := o.RunDir + ".lock"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock the private engine: %w", err)
	}
	start, said := time.Now(), time.Now()
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock the private engine: %w", err)
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameFile(f, path) {
			return func() {
				// Removed before it is let go: whoever waits with the old file sees that it is no longer there.
				_ = os.Remove(path)
				_ = f.Close()
			}, nil
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("lock the private engine: flock %s: %w", path, err)
		}
		if time.Since(said) > 8*time.Second {
			said = time.Now()
			o.Progress.Step("waiting for another command that starts or stops the private engine (%s)", time.Since(start).Round(time.Second))
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("wait for another command that starts or stops the private engine (lock %s): %w", path, err)
		}
	}
}

func sameFile(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}
