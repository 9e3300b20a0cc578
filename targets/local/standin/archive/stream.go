package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// Stream reads a Packed archive straight from its files: nothing is copied before it is sent. It can be read again
// from its beginning, after a failed upload for one.
type Stream struct {
	packed  *Packed
	next    int
	file    *os.File
	current io.Reader
	sum     hash.Hash
}

// Open starts a stream; Close gives up what it has open.
func (p *Packed) Open() *Stream {
	s := &Stream{packed: p}
	s.reset()
	return s
}

func (s *Stream) reset() {
	_ = s.Close() // what was read of it is not used
	s.next, s.current, s.sum = 0, nil, sha256.New()
}

// Close may be called at any time, and more than once.
func (s *Stream) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// Seek goes to the beginning (0, io.SeekStart), or tells that the stream is there (0, io.SeekCurrent); there is no
// other place to go.
func (s *Stream) Seek(offset int64, whence int) (int64, error) {
	switch {
	case offset == 0 && whence == io.SeekStart:
		s.reset()
		return 0, nil
	case offset == 0 && whence == io.SeekCurrent && s.next == 0:
		return 0, nil
	}
	return 0, errors.New("a checkpoint archive can only be read from its beginning")
}

// Read implements io.Reader.
func (s *Stream) Read(b []byte) (int, error) {
	for {
		if s.current == nil {
			if s.next == len(s.packed.parts) {
				return 0, io.EOF
			}
			if err := s.open(s.packed.parts[s.next]); err != nil {
				return 0, err
			}
			s.next++
		}
		n, err := s.current.Read(b)
		s.sum.Write(b[:n])
		if errors.Is(err, io.EOF) {
			s.current, err = nil, s.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (s *Stream) open(p part) error {
	if p.size == 0 {
		s.current = bytes.NewReader(p.header)
		return nil
	}
	f, err := os.Open(p.path)
	if err != nil {
		return fmt.Errorf("archive %s: %w", p.name, err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != p.size {
		err = fmt.Errorf("has %d bytes now, %d when it was packed", info.Size(), p.size)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("archive %s: %w", p.name, err)
	}
	s.file = f
	padding := make([]byte, (block-p.size%block)%block)
	s.current = io.MultiReader(bytes.NewReader(p.header), io.LimitReader(f, p.size), bytes.NewReader(padding))
	return nil
}

// SHA256 of what was read since the beginning, in hex.
func (s *Stream) SHA256() string { return hex.EncodeToString(s.sum.Sum(nil)) }
