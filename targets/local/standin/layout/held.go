package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Held is a directory that [RemoveAbandoned] leaves alone until it is released or the process that made it is dead.
type Held struct {
	Path string
	lock *os.File
}

// MakeHeld makes a directory, its name beginning with prefix, below parent, which is made where it is missing.
func MakeHeld(parent, prefix string) (_ *Held, err error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	// Nobody looks between the making and the holding.
	making, err := locked(parent, unix.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	defer making.Close()
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	lock, err := locked(dir, unix.LOCK_EX)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make working directory: %w", err), os.Remove(dir))
	}
	return &Held{Path: dir, lock: lock}, nil
}

// Remove removes the directory with all that is in it.
func (h *Held) Remove() error { return errors.Join(os.RemoveAll(h.Path), h.lock.Close()) }

// RemoveAbandoned removes the directories of MakeHeld whose makers were killed.
func RemoveAbandoned(parent, prefix string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("look for abandoned directories: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		dir := filepath.Join(parent, entry.Name())
		lock, err := abandoned(parent, dir)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.EWOULDBLOCK):
			continue // removed meanwhile, or in use
		case err == nil:
			err = errors.Join(os.RemoveAll(dir), lock.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove abandoned directory: %w", err))
		}
	}
	return errors.Join(errs...)
}

// abandoned takes the lock of a directory that nobody holds.
func abandoned(parent, dir string) (*os.File, error) {
	making, err := locked(parent, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer making.Close()
	return locked(dir, unix.LOCK_EX|unix.LOCK_NB)
}

// locked opens a directory and locks it. The kernel lets go of the lock when the file is closed, or its process dies:
// what the process starts does not inherit it.
func locked(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: dir, Err: err}, f.Close())
	}
	return f, nil
}
