package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

const mappingSize = 256 << 10

// mapping is shared memory: random bytes with a number at their start that goes up with the count.
type mapping struct {
	name  string
	bytes []byte
	// file is what is mapped; nil for anonymous memory.
	file *os.File
	sum  [sha256.Size]byte
}

type mappings struct {
	all   []*mapping
	moved uint64
	// guard may not be read.
	guard []byte
}

func openMappings(c config, _ string) (kind, error) {
	memfd, err := unix.MemfdCreate("e2e", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", err)
	}
	m := &mappings{all: []*mapping{
		{name: "anonymous shared memory"},
		{name: "memory file (memfd)", file: os.NewFile(uintptr(memfd), "memfd")},
	}}
	paths := []string{c.state("mapped")}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		paths = append(paths, fmt.Sprintf("/dev/shm/counter-%d-%s", os.Getpid(), rand.Text()))
	}
	for _, path := range paths {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, err
		}
		m.all = append(m.all, &mapping{name: path, file: file})
	}
	for _, a := range m.all {
		if err := a.open(); err != nil {
			return nil, fmt.Errorf("map %s: %w", a.name, err)
		}
	}
	m.guard, err = unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	return m, err
}

func (a *mapping) open() (err error) {
	fd, flags := -1, unix.MAP_SHARED|unix.MAP_ANONYMOUS
	if a.file != nil {
		fd, flags = int(a.file.Fd()), unix.MAP_SHARED
		if err := a.file.Truncate(mappingSize); err != nil {
			return err
		}
	}
	if a.bytes, err = unix.Mmap(fd, 0, mappingSize, unix.PROT_READ|unix.PROT_WRITE, flags); err != nil {
		return err
	}
	_, _ = rand.Read(a.bytes[8:])
	a.sum = sha256.Sum256(a.bytes[8:])
	return nil
}

func (m *mappings) tick(uint64) error {
	m.moved++
	for _, a := range m.all {
		binary.NativeEndian.PutUint64(a.bytes, m.moved)
	}
	return nil
}

func (m *mappings) check(k *report.Kind) error {
	k.Progress["number"] = m.moved
	var errs []error
	for _, a := range m.all {
		errs = append(errs, a.check(m.moved))
	}
	// The kernel copies from it in place of this process, which would die of reading it.
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return err
	}
	defer func() { _, _ = unix.Close(pipe[0]), unix.Close(pipe[1]) }()
	if _, err := unix.Write(pipe[1], m.guard[:1]); !errors.Is(err, unix.EFAULT) {
		errs = append(errs, errors.New("a page without access can be read"))
	}
	return errors.Join(errs...)
}

func (a *mapping) check(moved uint64) error {
	if n := binary.NativeEndian.Uint64(a.bytes); n != moved {
		return fmt.Errorf("%s has the number %d, want %d", a.name, n, moved)
	}
	if sha256.Sum256(a.bytes[8:]) != a.sum {
		return fmt.Errorf("%s has other bytes than at start", a.name)
	}
	if a.file == nil {
		return nil
	}
	// Through the file too: a private copy in place of the shared memory would pass the rest.
	var n [8]byte
	if _, err := a.file.ReadAt(n[:], 0); err != nil {
		return fmt.Errorf("read %s: %w", a.name, err)
	}
	if got := binary.NativeEndian.Uint64(n[:]); got != moved {
		return fmt.Errorf("%s has the number %d in its file and %d in memory: they are not shared any more", a.name, got, moved)
	}
	return nil
}
