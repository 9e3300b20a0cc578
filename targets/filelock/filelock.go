// Package filelock makes processes on one machine wait for each other. The kernel lets go of a lock when its holder
// dies, so none is ever stale.
package filelock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
)

// pause is the time between two tries.
const pause = 50 * time.Millisecond

// Lock takes the lock that is the file path, and waits while another process has it: every few seconds it says so, with
// who that is. what is what this process does with it, for those who wait: "makes image x". The directory is made when
// it is missing. The returned function gives the lock back and removes the file.
func Lock(ctx context.Context, progress console.Progress, path, what string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make directory for lock: %w", err)
	}
	start, said := time.Now(), time.Time{}
	for {
		file, holder, err := try(path, what)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if file != nil {
			return func() {
				// Removed before it is let go: whoever waits with the old file sees that it is no longer there. Somebody
				// else's, where `mage clean` has removed ours, stays.
				if same(file, path) {
					_ = os.Remove(path)
				}
				_ = file.Close()
			}, nil
		}
		if time.Since(said) > console.Heartbeat {
			said = time.Now()
			progress.Step("wait for another process, which %s (%s)", holder, time.Since(start).Round(time.Second))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another process, which %s and holds %s: %w", holder, path, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// Holder says what the process that has the lock does with it, in that process's words; empty when nobody has it.
func Holder(path string) (string, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	// A shared lock is to be had when nobody has the other kind, and is in the way of nobody who asks for that again.
	switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
	case err == nil:
		return "", nil
	case !errors.Is(err, syscall.EWOULDBLOCK):
		return "", fmt.Errorf("look who holds %s: %w", path, err)
	}
	return holderOf(file)
}

// holderOf reads what the holder has written.
func holderOf(file *os.File) (string, error) {
	text, err := io.ReadAll(io.LimitReader(file, 1<<10))
	return cmp.Or(strings.TrimSpace(string(text)), "has just begun"), err
}

// try returns the locked file, or who holds the lock.
func try(path, what string) (locked *os.File, holder string, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		// The directory went after it was made: `mage clean`, say.
		return nil, "removes the directory", os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return nil, "", err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		holder, err = holderOf(file)
		return nil, holder, errors.Join(err, file.Close())
	case err != nil:
		return nil, "", errors.Join(err, file.Close())
	case !same(file, path):
		return nil, "has just ended", file.Close()
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(file, "%s (process %d, since %s)\n", what, os.Getpid(), time.Now().Format(time.TimeOnly))
	}
	if err != nil {
		return nil, "", errors.Join(err, file.Close())
	}
	return file, "", nil
}

// same says whether the open file is still the one at path.
func same(file *os.File, path string) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}
