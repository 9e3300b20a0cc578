package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// interval is the time between two counts.
const interval = 100 * time.Millisecond

// A probe is one kind of state that a checkpoint has to keep. A new kind is a new type that is added in newCounter and
// fills its own field of report.State.
type probe interface {
	// tick moves the state on, at every count.
	tick(count uint64) error
	// report reads the state anew and adds it.
	report(*report.State) error
}

// counter counts, and moves its probes on at every count.
type counter struct {
	nonce  string
	began  time.Time
	out    io.Writer
	probes []probe
	memory *memory
	peer   *peer // nil for none

	mu     sync.Mutex
	count  uint64
	last   time.Time
	pauses []report.Pause
	heard  uint64
	failed error
	// grown is what it was told to take besides.
	grown [][]byte
}

func newCounter(c config, out io.Writer) (*counter, error) {
	var b [16]byte
	// crypto/rand.Read never fails: it ends the program instead (Go 1.24).
	_, _ = rand.Read(b[:])
	now := time.Now()
	n := &counter{nonce: hex.EncodeToString(b[:]), began: now, last: now, out: out}

	var err error
	if n.memory, err = newMemory(c.MemoryMiB); err != nil {
		return nil, err
	}
	if c.Peer != "" {
		n.peer = newPeer(c.Peer)
	}
	paths := map[string]string{"root": c.Log}
	if c.Dir != "" {
		paths["dir"] = filepath.Join(c.Dir, "log")
	}
	for name, path := range paths {
		j, err := openJournal(name, path, n.nonce)
		if err != nil {
			return nil, err
		}
		n.probes = append(n.probes, j)
	}
	for _, open := range []func(config, string) ([]probe, error){openKinds, openTrees} {
		probes, err := open(c, n.nonce)
		if err != nil {
			return nil, err
		}
		n.probes = append(n.probes, probes...)
	}
	return n, nil
}

// start counts in the background until the context ends.
func (n *counter) start(ctx context.Context) {
	go func() {
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				// Not the tick's own time: a ticker delivers one that came due before a pause with its old time.
				n.tick(time.Now())
				n.hear(ctx)
			}
		}
	}()
}

// tick is one count at the given time.
func (n *counter) tick(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// The wall clock, not the monotonic one, which is another machine's after a restore elsewhere.
	if from := n.last.Round(0); now.Round(0).Sub(from) > report.PauseAfter {
		n.pauses = append(n.pauses, report.Pause{Count: n.count, From: from, To: now.Round(0), Heard: n.heard})
	}
	n.last = now
	n.count++
	for _, p := range n.probes {
		if err := p.tick(n.count); err != nil && n.failed == nil {
			n.failed = err
			fmt.Fprintln(os.Stderr, "counter:", err)
		}
	}
	if n.count%uint64(time.Second/interval) == 0 {
		// A restored process whose standard output was lost must not die of it: that it is missing is for a test to see.
		_, _ = fmt.Fprintf(n.out, "count=%d nonce=%s\n", n.count, n.nonce)
	}
}

// health is what went wrong, ever.
func (n *counter) health() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

// state reads everything anew.
func (n *counter) state() (*report.State, error) {
	s := &report.State{
		Nonce: n.nonce, Start: n.began.Round(0),
		PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(),
		Args: os.Args, Env: environ(),
		Journals: map[string]report.Journal{}, Kinds: map[string]report.Kind{},
	}
	// Outside the lock: the checksum of much memory takes longer than a count.
	err := n.memory.report(s)
	threads, threadsErr := os.ReadDir("/proc/self/task")
	s.Threads = len(threads)
	var cwdErr error
	s.CWD, cwdErr = os.Getwd()
	err = errors.Join(err, threadsErr, cwdErr)

	n.mu.Lock()
	defer n.mu.Unlock()
	s.Count = n.count
	s.Pauses = slices.Clone(n.pauses)
	for _, p := range n.probes {
		err = errors.Join(err, p.report(s))
	}
	return s, err
}

// environ is the process's own environment, as it is in its memory.
func environ() map[string]string {
	env := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return env
}
