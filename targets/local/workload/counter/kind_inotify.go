package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// inotify watches a directory on the root file system, which is an overlay.
type inotify struct {
	fd, watch int
	dir       string
	told      uint64
}

func openInotify(c config, _ string) (kind, error) {
	i := &inotify{dir: c.state("watched")}
	if err := os.MkdirAll(i.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory to watch: %w", err)
	}
	var err error
	if i.fd, err = unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make inotify: %w", err)
	}
	if i.watch, err = unix.InotifyAddWatch(i.fd, i.dir, unix.IN_CREATE); err != nil {
		return nil, fmt.Errorf("watch %s: %w", i.dir, err)
	}
	return i, nil
}

// tick makes a file and reads that it was made.
func (i *inotify) tick(uint64) error {
	name := fmt.Sprintf("file-%d", i.told)
	path := filepath.Join(i.dir, name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("make file to be told of: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	event := make([]byte, unix.SizeofInotifyEvent+unix.NAME_MAX+1)
	n, err := unix.Read(i.fd, event)
	if errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("the inotify does not tell of %s", path)
	}
	if err != nil {
		return fmt.Errorf("read inotify: %w", err)
	}
	header := (*unix.InotifyEvent)(unsafe.Pointer(&event[0]))
	told := strings.TrimRight(string(event[unix.SizeofInotifyEvent:max(n, unix.SizeofInotifyEvent)]), "\x00")
	if told != name || int(header.Wd) != i.watch {
		return fmt.Errorf("the inotify tells of %q by watch %d, want %q by watch %d", told, header.Wd, name, i.watch)
	}
	i.told++
	return nil
}

func (i *inotify) check(k *report.Kind) error {
	k.Progress["told"] = i.told
	return i.tick(0)
}
