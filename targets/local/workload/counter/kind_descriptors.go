package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// step is how much of a file is read or written at a count.
const step = 16

// descriptors are open files: one read from a place in its middle, a second descriptor that shares its offset, one that
// only appends, and a directory.
type descriptors struct {
	content            []byte
	read, twin, append *os.File
	dir                *os.File
	offset, appended   int64
	flags              int
}

func openDescriptors(c config, _ string) (kind, error) {
	d := &descriptors{content: make([]byte, 64<<10), offset: 32 << 10}
	_, _ = rand.Read(d.content)
	path := c.state("read")
	if err := os.WriteFile(path, d.content, 0o644); err != nil {
		return nil, err
	}
	var err error
	if d.read, err = os.Open(path); err != nil {
		return nil, err
	}
	if _, err := d.read.Seek(d.offset, io.SeekStart); err != nil {
		return nil, err
	}
	twin, err := unix.FcntlInt(d.read.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate a descriptor: %w", err)
	}
	d.twin = os.NewFile(uintptr(twin), path)
	if d.append, err = os.OpenFile(c.state("append"), os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_SYNC, 0o644); err != nil {
		return nil, err
	}
	if d.flags, err = unix.FcntlInt(d.append.Fd(), unix.F_GETFL, 0); err != nil {
		return nil, err
	}
	d.dir, err = os.Open(c.State)
	return d, err
}

func (d *descriptors) tick(count uint64) error {
	if d.offset+step > int64(len(d.content)) {
		d.offset = 0
		if _, err := d.read.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	got := make([]byte, step)
	if _, err := io.ReadFull(d.read, got); err != nil {
		return fmt.Errorf("read %s at %d: %w", d.read.Name(), d.offset, err)
	}
	if !bytes.Equal(got, d.content[d.offset:d.offset+step]) {
		return fmt.Errorf("%s was read at another offset than %d, or has other content", d.read.Name(), d.offset)
	}
	d.offset += step
	n, err := fmt.Fprintf(d.append, "%d\n", count)
	d.appended += int64(n)
	return err
}

func (d *descriptors) check(k *report.Kind) error {
	for name, file := range map[string]*os.File{"the descriptor": d.read, "its duplicate": d.twin} {
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return fmt.Errorf("offset of %s of %s: %w", name, file.Name(), err)
		}
		if offset != d.offset {
			return fmt.Errorf("%s of %s is at offset %d, want %d", name, file.Name(), offset, d.offset)
		}
	}
	k.Progress["appended"] = uint64(d.appended)
	flags, err := unix.FcntlInt(d.append.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags != d.flags {
		return fmt.Errorf("%s is open with flags %#x, want %#x", d.append.Name(), flags, d.flags)
	}
	held, err := d.append.Stat()
	if err != nil {
		return err
	}
	if held.Size() != d.appended {
		return fmt.Errorf("%s has %d bytes, want the %d that were appended", d.append.Name(), held.Size(), d.appended)
	}
	for _, file := range []*os.File{d.read, d.append, d.dir} {
		held, err := file.Stat()
		if err != nil {
			return err
		}
		there, err := os.Stat(file.Name())
		if err != nil {
			return err
		}
		if !os.SameFile(held, there) {
			return fmt.Errorf("%s is not the file that is held open", file.Name())
		}
	}
	return nil
}
