package debian

import (
	"bufio"
	"io"
	"strings"
	"sync"
)

// lastLines keeps the end of a program's output.
type lastLines struct {
	mu    sync.Mutex
	keep  int
	lines []string
	rest  string
}

func (l *lastLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bufio.NewScanner(io.MultiReader(strings.NewReader(l.rest), strings.NewReader(string(b))))
	l.rest = ""
	for lines.Scan() {
		l.lines = append(l.lines, lines.Text())
	}
	if len(b) > 0 && b[len(b)-1] != '\n' && len(l.lines) > 0 {
		l.rest = l.lines[len(l.lines)-1]
		l.lines = l.lines[:len(l.lines)-1]
	}
	l.lines = l.lines[max(0, len(l.lines)-l.keep):]
	return len(b), nil
}

func (l *lastLines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return l.rest
	}
	return l.lines[len(l.lines)-1]
}

func (l *lastLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(strings.Join(append(l.lines, l.rest), "\n"))
}
