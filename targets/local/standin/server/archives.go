package server

import (
	"context"
	"io"

	"github.com/cedana/cedana-e2e/targets/local/standin/archives"
)

// Archives is what the server asks of the store of archives; *archives.Store is the real one.
type Archives interface {
	Put(ctx context.Context, path, wantSum string, content io.Reader) (archives.Entry, error)
	Open(path string) (io.ReadSeekCloser, error)
	Stat(path string) (archives.Entry, error)
	List(dir string) ([]archives.Entry, error)
	Remove(path string) error
	Close() error
}

// Stored is a store on disk as Archives.
func Stored(s *archives.Store) Archives { return files{s} }

type files struct{ *archives.Store }

// Open returns an interface, which a method of *archives.Store does not.
func (f files) Open(path string) (io.ReadSeekCloser, error) {
	file, err := f.Store.Open(path)
	if err != nil {
		return nil, err // and not a nil *os.File, which would be no nil interface
	}
	return file, nil
}
