package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// mostAnswer is how much of an answer is looked at, in bytes.
const mostAnswer = 1 << 20

// load requests one address without end, over connections that it keeps open as long as the other side does: those are
// what a checkpoint has to cope with.
type load struct {
	config
	client *http.Client

	mu   sync.Mutex
	seen report.Load
	// asked is when each worker made the request that it has no answer to yet; zero for none.
	asked []time.Time
}

func newLoad(c config) *load {
	return &load{
		config: c,
		client: &http.Client{
			Timeout:   c.LoadTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: c.LoadWorkers},
		},
		seen:  report.Load{URL: c.LoadURL},
		asked: make([]time.Time, c.LoadWorkers),
	}
}

func (l *load) start(ctx context.Context) {
	for worker := range l.LoadWorkers {
		go func() {
			ticks := time.NewTicker(l.LoadInterval)
			defer ticks.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticks.C:
					l.ask(worker, time.Now())
					err := l.request(ctx)
					l.ask(worker, time.Time{})
					l.note(err)
				}
			}
		}()
	}
}

func (l *load) request(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.LoadURL, nil)
	if err != nil {
		return err
	}
	response, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", l.LoadURL, err)
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), l.LoadExpect) {
		return fmt.Errorf("get %s: %s, server %q, %.60q", l.LoadURL, response.Status, response.Header.Get("Server"), body)
	}
	return nil
}

func (l *load) ask(worker int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[worker] = at
}

// now is what was seen so far.
func (l *load) now() report.Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.seen
	for _, at := range l.asked {
		if !at.IsZero() {
			now.Waiting = max(now.Waiting, time.Since(at))
		}
	}
	return now
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		// A connection may have gone astray while the service had no pod behind it, to whatever answers on the way out of
		// the cluster; kept alive it would stay there.
		l.client.CloseIdleConnections()
		l.seen.Failed++
		l.seen.LastError = err.Error()
		return
	}
	l.seen.OK++
	l.seen.LastOK = time.Now().Round(0)
}

// mux has GET /load, which answers report.Load, and GET /healthz, which is always well.
func (l *load) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/load", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, l.now())
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	return mux
}
