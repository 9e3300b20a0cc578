package contract

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
)

// RecordFile is the name of the tests' record in the directory of their artifacts.
const RecordFile = "openapi.json"

// Ledger counts exchanges and their drift. It is safe for use by many goroutines.
type Ledger struct {
	document *Document

	mu     sync.Mutex
	record Record
	rows   map[Drift]int
	// known has what was found in exchanges that were seen before: a client that polls has the same one many times.
	known map[[sha256.Size]byte]verdict
}

type verdict struct {
	operation string
	drift     []Drift
}

// NewLedger is an empty one.
func NewLedger(d *Document) *Ledger {
	return &Ledger{document: d, rows: map[Drift]int{}, known: map[[sha256.Size]byte]verdict{}}
}

// Counted is a kind of drift, and how often it was seen.
type Counted struct {
	Drift
	Count int `json:"count"`
}

// Record is what was seen, as it is kept in a file.
type Record struct {
	// Exchanges is how many were checked, Operations how many of each operation.
	Exchanges  int            `json:"exchanges"`
	Operations map[string]int `json:"operations"`
	Drift      []Counted      `json:"drift"`
}

func (l *Ledger) add(e *exchange) {
	key := sha256.Sum256([]byte(e.key()))
	l.mu.Lock()
	v, ok := l.known[key]
	l.mu.Unlock()
	if !ok {
		v.operation, v.drift = l.document.check(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[key] = v
	l.count(v.operation, 1)
	for _, d := range v.drift {
		l.rows[d]++
	}
}

func (l *Ledger) count(operation string, n int) {
	if l.record.Operations == nil {
		l.record.Operations = map[string]int{}
	}
	l.record.Exchanges += n
	l.record.Operations[operation] += n
}

// Record is what was seen so far, in order.
func (l *Ledger) Record() Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Record{Exchanges: l.record.Exchanges, Operations: map[string]int{}, Drift: []Counted{}}
	for name, n := range l.record.Operations {
		r.Operations[name] = n
	}
	for d, n := range l.rows {
		r.Drift = append(r.Drift, Counted{d, n})
	}
	slices.SortFunc(r.Drift, func(a, b Counted) int { return a.compare(b.Drift) })
	return r
}

// Merge adds what another process saw.
func (l *Ledger) Merge(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, n := range r.Operations {
		l.count(name, n)
	}
	for _, d := range r.Drift {
		l.rows[d.Drift] += d.Count
	}
}

// Write writes the record into a file.
func (r Record) Write(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = atomicfile.Write(path, append(content, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write record of the API's exchanges: %w", err)
	}
	return nil
}

// ErrNoRecord is that a process left no record: it was killed, or did not get so far.
var ErrNoRecord = errors.New("no record of the API's exchanges")

// ReadRecord reads a file of Write.
func ReadRecord(path string) (Record, error) {
	var r Record
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%w at %s", ErrNoRecord, path)
	}
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read record of the API's exchanges: %w", err)
	}
	return r, nil
}
