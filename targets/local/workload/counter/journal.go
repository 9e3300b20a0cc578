package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// journal is a probe for files: it writes the line "COUNT NONCE" at every count through one descriptor. The file is
// not opened for appending, so that a descriptor restored with a wrong offset shows.
type journal struct {
	name  string
	path  string
	nonce string
	file  *os.File
	// failed is the first write that failed.
	failed error
}

// openJournal makes the file, empty, and its directories: a scratch image has none.
func openJournal(name, path, nonce string) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &journal{name: name, path: path, nonce: nonce, file: f}, nil
}

func (j *journal) line(count uint64) string { return fmt.Sprintf("%d %s\n", count, j.nonce) }

func (j *journal) tick(count uint64) error {
	if _, err := j.file.WriteString(j.line(count)); err != nil && j.failed == nil {
		j.failed = fmt.Errorf("write journal: %w", err)
	}
	return j.failed
}

func (j *journal) report(s *report.State) error {
	r := report.Journal{Path: j.path}
	if err := errors.Join(j.failed, j.inspect(&r, s.Count)); err != nil {
		r.Error = err.Error()
	}
	s.Journals[j.name] = r
	return nil
}

// inspect reads the file at the path, not the descriptor, and compares the two.
func (j *journal) inspect(r *report.Journal, count uint64) error {
	var err error
	if r.Offset, err = j.file.Seek(0, io.SeekCurrent); err != nil {
		return fmt.Errorf("offset of %s: %w", j.path, err)
	}
	content, err := os.ReadFile(j.path)
	if err != nil {
		return err
	}
	r.Size = int64(len(content))
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		r.Lines++
		if want := j.line(r.Lines); lines.Text()+"\n" != want {
			return fmt.Errorf("line %d of %s is %q, want %q", r.Lines, j.path, lines.Text(), want)
		}
		r.Last = r.Lines
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", j.path, err)
	}
	held, heldErr := j.file.Stat()
	there, thereErr := os.Stat(j.path)
	switch err := errors.Join(heldErr, thereErr); {
	case err != nil:
		return err
	case !os.SameFile(held, there):
		return fmt.Errorf("%s is not the file that is held open", j.path)
	case r.Offset != r.Size:
		return fmt.Errorf("%s has %d bytes, its descriptor is at %d", j.path, r.Size, r.Offset)
	case r.Last != count:
		return fmt.Errorf("%s ends at count %d, want %d", j.path, r.Last, count)
	}
	return nil
}
