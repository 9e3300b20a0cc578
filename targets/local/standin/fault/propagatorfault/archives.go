package propagatorfault

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/archives"
	"github.com/cedana/cedana-e2e/targets/local/standin/server"
)

// truncated gives only the first half of an archive back.
type truncated struct {
	server.Archives
	in injector
}

func (t truncated) Open(path string) (io.ReadSeekCloser, error) {
	file, err := t.Archives.Open(path)
	if err != nil {
		return nil, err
	}
	entry, err := t.Stat(path)
	if err != nil {
		file.Close()
		return nil, err
	}
	t.in.name.Warn(t.in.log.With("archive", path))
	return half{io.NewSectionReader(readerAt{file}, 0, entry.Size/2), file}, nil
}

type half struct {
	io.ReadSeeker
	io.Closer
}

// readerAt reads anywhere in what can seek; one reader at a time.
type readerAt struct{ io.ReadSeeker }

func (r readerAt) ReadAt(p []byte, at int64) (int, error) {
	if _, err := r.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	return io.ReadFull(r, p)
}

// lateBy is how long after its checkpoint is ready an archive is stored.
const lateBy = 10 * time.Second

// late says of an archive at once that it is stored, and has it only some time later.
type late struct {
	server.Archives
	in  injector
	now func() time.Time

	mu     sync.Mutex
	stored map[string]time.Time
}

func (l *late) Put(ctx context.Context, path, wantSum string, content io.Reader) (archives.Entry, error) {
	entry, err := l.Archives.Put(ctx, path, wantSum, content)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stored == nil {
		l.stored = map[string]time.Time{}
	}
	l.stored[path] = l.now().Add(lateBy)
	return entry, err
}

func (l *late) Open(path string) (io.ReadSeekCloser, error) {
	l.mu.Lock()
	there := l.stored[path]
	l.mu.Unlock()
	if l.now().Before(there) {
		l.in.name.Warn(l.in.log.With("archive", path))
		return nil, fmt.Errorf("open archive %s: %w", path, fs.ErrNotExist)
	}
	return l.Archives.Open(path)
}
