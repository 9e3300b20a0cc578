package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// deleted is a file that has no name any more, and is open and written to still.
type deleted struct {
	path  string
	nonce string
	file  *os.File
	size  int64
	sum   hash.Hash
}

func openDeleted(c config, nonce string) (kind, error) {
	d := &deleted{path: c.state("deleted"), nonce: nonce, sum: sha256.New()}
	var err error
	if d.file, err = os.OpenFile(d.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	return d, os.Remove(d.path)
}

func (d *deleted) tick(count uint64) error {
	n, err := fmt.Fprintf(io.MultiWriter(d.file, d.sum), "%d %s\n", count, d.nonce)
	d.size += int64(n)
	if err != nil {
		return fmt.Errorf("write deleted file: %w", err)
	}
	return nil
}

func (d *deleted) check(k *report.Kind) error {
	k.Progress["bytes"] = uint64(d.size)
	if _, err := os.Lstat(d.path); err == nil {
		return fmt.Errorf("%s was deleted and is there again", d.path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, err := d.file.Stat()
	if err != nil {
		return fmt.Errorf("look at deleted file: %w", err)
	}
	if info.Size() != d.size {
		return fmt.Errorf("the deleted file has %d bytes, want %d", info.Size(), d.size)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(d.file, 0, d.size)); err != nil {
		return fmt.Errorf("read deleted file: %w", err)
	}
	if string(sum.Sum(nil)) != string(d.sum.Sum(nil)) {
		return errors.New("the deleted file has other content than was written to it")
	}
	offset, err := d.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if offset != d.size {
		return fmt.Errorf("the deleted file's descriptor is at %d, want %d", offset, d.size)
	}
	return nil
}
