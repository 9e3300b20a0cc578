package console

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Progress hears what is being done. [Console] is one.
type Progress interface {
	// Step is told that something was begun or done.
	Step(format string, args ...any)
	// Watch shows how far a long piece of work has come, until the returned function is called with its outcome.
	Watch(name string, state func() State) (end func(error))
}

// State is how far a piece of work has come.
type State struct {
	// Done of Total units; where the Total is 0 it is not known.
	Done, Total int
	// After is how many units' time it takes when all are done, to link them for one; they are not counted.
	After int
	// Unit is what is counted, in the plural: packages.
	Unit string
	// Each is how long a unit takes on a machine where nothing was learned yet; 0 where that cannot be said.
	Each time.Duration
	// Detail is what is done or waited for now.
	Detail string
}

// Quiet is the progress of someone who does not want to hear.
type Quiet struct{}

// Step does nothing.
func (Quiet) Step(string, ...any) {}

// Watch does nothing.
func (Quiet) Watch(string, func() State) func(error) { return func(error) {} }

// appears is how long a piece of work has to take to be drawn at all: a bar that flashes tells nobody anything.
const appears = 300 * time.Millisecond

// Watch draws a line with a bar on a terminal; elsewhere it prints a line every [Heartbeat]. Several may be watched at once.
// How long it took is learned for the next time where end is told that it went well.
func (c *Console) Watch(name string, state func() State) (end func(error)) {
	w := &watched{name: name, state: state, start: time.Now(), before: c.durations.of(name)}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		if c.terminal {
			c.draw(w, done)
			return
		}
		tick := time.NewTicker(c.beat)
		defer tick.Stop()
		if w.before.estimate(state(), 0).Left > c.beat {
			select {
			case <-done: // it was there already, as it mostly is: no minutes are announced for nothing
				return
			case <-time.After(c.beat / 10):
				c.line(dim, "…", name+" "+w.text()) // how long it will take is said soon
			}
		}
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				c.line(dim, "…", name+" "+w.text())
			}
		}
	})
	return func(err error) {
		close(done)
		watching.Wait()
		c.ended(name, w, err)
	}
}

func (c *Console) ended(name string, w *watched, err error) {
	if err == nil {
		c.durations.learn(name, time.Since(w.start), w.state())
	}
}

// watched is a piece of work under way.
type watched struct {
	name   string
	state  func() State
	start  time.Time
	before duration
}

// text is how long it has taken, how far it is, and how long it will take: `(40s): 31 % of 2380 packages, 1m30s to go: DETAIL`.
func (w *watched) text() string {
	elapsed, s := time.Since(w.start), w.state()
	e := w.before.estimate(s, elapsed)
	var parts []string
	if e.Known && s.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d %% of %d %s", int(100*e.Fraction), s.Total, s.Unit))
	} else if e.Known {
		parts = append(parts, fmt.Sprintf("%d %%", int(100*e.Fraction)))
	}
	if e.Left >= time.Second {
		parts = append(parts, "about "+rounded(e.Left)+" to go")
	}
	text := "(" + elapsed.Round(time.Second).String() + ")"
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if s.Detail != "" {
		text += ": " + s.Detail
	}
	return text
}

// rounded is no more exact than an estimate is.
func rounded(d time.Duration) string {
	switch {
	case d > 3*time.Minute:
		d = d.Round(time.Minute)
	case d > 20*time.Second:
		d = d.Round(10 * time.Second)
	default:
		d = d.Round(time.Second)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}
