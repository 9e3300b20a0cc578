// Package consoletest is for tests of what says its progress.
package consoletest

import (
	"fmt"
	"sync"

	"github.com/cedana/cedana-e2e/targets/console"
)

// Recorder is a console.Progress that keeps what it hears. It may be used by several goroutines at once.
type Recorder struct {
	mu    sync.Mutex
	lines []string
}

// Step keeps a line.
func (r *Recorder) Step(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// Take returns the lines since the last Take.
func (r *Recorder) Take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// Watch hears nothing: what is watched says how far it is now and then.
func (*Recorder) Watch(string, func() console.State) func(error) { return func(error) {} }
