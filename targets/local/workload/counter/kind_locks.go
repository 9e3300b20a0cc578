package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// locks are a lock of a whole file (flock) and one of a part of a file (fcntl). Each is tried through another open file:
// a lock that is held refuses it.
type locks struct{ whole, part *os.File }

// The part that is locked, in bytes.
const partStart, partLength = 100, 50

func openLocks(c config, _ string) (kind, error) {
	l := &locks{}
	for name, file := range map[string]**os.File{"locked": &l.whole, "locked-part": &l.part} {
		var err error
		if *file, err = os.OpenFile(c.state(name), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return nil, err
		}
	}
	if err := unix.Flock(int(l.whole.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.whole.Name(), err)
	}
	part := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: partStart, Len: partLength}
	if err := unix.FcntlFlock(l.part.Fd(), unix.F_SETLK, &part); err != nil {
		return nil, fmt.Errorf("lock a part of %s: %w", l.part.Name(), err)
	}
	return l, nil
}

func (l *locks) tick(uint64) error { return nil }

func (l *locks) check(*report.Kind) error {
	other, err := os.OpenFile(l.whole.Name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("the lock (flock) of %s is lost: another one was given (%s)", l.whole.Name(), fmt.Sprint(err))
	}
	// A lock of the open file, not of the process, is asked for: the process's own would never be in its way.
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(l.part.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return fmt.Errorf("ask for locks of %s: %w", l.part.Name(), err)
	}
	if lock.Type == unix.F_UNLCK || lock.Start != partStart || lock.Len != partLength {
		return fmt.Errorf("the lock (fcntl) of bytes %d to %d of %s is lost", partStart, partStart+partLength-1, l.part.Name())
	}
	return nil
}
