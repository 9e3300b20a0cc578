package console

import (
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
)

// worthLearning is how long a piece of work takes that anybody waits for. What takes less was there already.
const worthLearning = 2 * time.Second

// durations are how long pieces of work took on this machine, by name. They are estimates: a file that cannot be read or
// written is one that has nothing in it.
type durations struct {
	mu   sync.Mutex
	file string
}

// duration is how long a piece of work took, in seconds, and in how many units.
type duration struct {
	Seconds float64 `json:"seconds"`
	Units   int     `json:"units,omitempty"`
}

func (d *durations) read() map[string]duration {
	known := map[string]duration{}
	if content, err := os.ReadFile(d.file); err == nil && json.Unmarshal(content, &known) != nil {
		return map[string]duration{}
	}
	return known
}

// Last is how long something took the last time, or 0.
func (c *Console) Last(name string) time.Duration {
	return time.Duration(c.durations.of(name).Seconds * float64(time.Second))
}

// Took remembers for [Console.Last] how long something took.
func (c *Console) Took(name string, d time.Duration) { c.durations.learn(name, d, State{}) }

func (d *durations) of(name string) duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == "" {
		return duration{}
	}
	return d.read()[name]
}

func (d *durations) learn(name string, took time.Duration, s State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == "" || took < worthLearning {
		return
	}
	known := d.read()
	known[name] = duration{Seconds: took.Seconds(), Units: max(s.Total, 0) + s.After}
	if content, err := json.MarshalIndent(known, "", "  "); err == nil {
		_ = atomicfile.Write(d.file, content, 0o644)
	}
}

// estimate is what is expected of a piece of work.
type estimate struct {
	// Known says that Fraction is.
	Known    bool
	Fraction float64
	// Left is the time still to go, 0 when nothing can be said about it.
	Left time.Duration
}

// estimate trusts what was learned at the beginning, and the more what it sees the further the work has come.
func (d duration) estimate(s State, elapsed time.Duration) estimate {
	if s.Total <= 0 {
		total := time.Duration(d.Seconds * float64(time.Second))
		if total <= elapsed {
			return estimate{}
		}
		return estimate{Known: true, Fraction: elapsed.Seconds() / total.Seconds(), Left: total - elapsed}
	}
	done, all := min(s.Done, s.Total), s.Total+s.After
	e := estimate{Known: true, Fraction: float64(done) / float64(all)}
	each, trust := s.Each.Seconds(), min(1, 3*e.Fraction) // what holds elsewhere soon gives way to what is seen here
	if d.Units > 0 {
		each, trust = d.Seconds/float64(d.Units), e.Fraction
	}
	if done > 0 {
		seen := elapsed.Seconds() / float64(done)
		if each == 0 {
			each = seen
		}
		each = trust*seen + (1-trust)*each
	}
	if done == s.Total {
		all -= s.After / 2 // somewhere in what comes after them
	}
	e.Left = time.Duration(each * float64(all-done) * float64(time.Second))
	return e
}
