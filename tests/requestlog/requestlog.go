// Package requestlog remembers the requests of one test to the propagator. It never sees headers, so the token is not in
// it.
package requestlog

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// most is how much of a body is remembered, in bytes.
const most = 2048

// Log is a transport that remembers what goes through it.
type Log struct {
	next  http.RoundTripper
	mu    sync.Mutex
	lines []string
}

// New is a log in front of a transport.
func New(next http.RoundTripper) *Log { return &Log{next: next} }

// RoundTrip implements http.RoundTripper.
func (l *Log) RoundTrip(request *http.Request) (*http.Response, error) {
	begin := time.Now()
	sent := ""
	if request.GetBody != nil {
		if body, err := request.GetBody(); err == nil {
			content, _ := io.ReadAll(io.LimitReader(body, most))
			_ = body.Close()
			sent = " " + oneLine(content)
		}
	}
	response, err := l.next.RoundTrip(request)
	head := fmt.Sprintf("%s %s %s%s", begin.UTC().Format("15:04:05.000"), request.Method, request.URL.RequestURI(), sent)
	if err != nil {
		l.add("%s -> %v after %s", head, err, round(begin))
		return nil, err
	}
	response.Body = &body{ReadCloser: response.Body, done: func(content []byte, whole bool) {
		more := ""
		if !whole {
			more = " ..."
		}
		l.add("%s -> %d after %s: %s%s", head, response.StatusCode, round(begin), oneLine(content), more)
	}}
	return response, nil
}

// Lines are the requests so far, in the order in which their answers ended.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func (l *Log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func round(begin time.Time) time.Duration { return time.Since(begin).Round(time.Millisecond) }

func oneLine(content []byte) string { return strings.Join(strings.Fields(string(content)), " ") }

// body keeps the beginning of what is read through it until it is closed.
type body struct {
	io.ReadCloser
	seen bytes.Buffer
	cut  bool
	once sync.Once
	done func(content []byte, whole bool)
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	room := most - b.seen.Len()
	b.cut = b.cut || n > room
	b.seen.Write(p[:min(n, max(room, 0))])
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.done(b.seen.Bytes(), !b.cut) })
	return err
}
