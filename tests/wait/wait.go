// Package wait is the one place where the suite waits. Every wait names what it waits for and, when it is in vain, the
// last state that was seen. A wait is for something that takes time; what is wrong is an error at once.
package wait

import (
	"context"
	"fmt"
	"time"
)

// Interval between two looks, unless Every says otherwise.
const Interval = 100 * time.Millisecond

// Check looks once. state is what was seen, in words for a reader. An error ends the wait at once.
type Check func(ctx context.Context) (done bool, state string, err error)

// Option changes how a wait looks.
type Option func(*options)

type options struct{ interval time.Duration }

// Every sets the time between two looks.
func Every(d time.Duration) Option { return func(o *options) { o.interval = d } }

// Error is a wait that was in vain.
type Error struct {
	// What was waited for, for how long, and the last state that was seen.
	What  string
	After time.Duration
	Last  string
	// Err is why the wait ended: context.DeadlineExceeded when its time was over, else what the look or the context gave.
	Err error
}

func (e *Error) Error() string {
	last := e.Last
	if last == "" {
		last = "nothing"
	}
	return fmt.Sprintf("wait for %s: %v after %s; last seen: %s", e.What, e.Err, e.After.Round(10*time.Millisecond), last)
}

func (e *Error) Unwrap() error { return e.Err }

// For looks at once and then every interval until check is done or the timeout is over. Its error is an *Error.
func For(ctx context.Context, what string, timeout time.Duration, check Check, opts ...Option) error {
	begin := time.Now()
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := ""
	err := loop(bounded, opts, func() (bool, error) {
		done, state, err := check(bounded)
		// A look that was cut off by the end of the wait saw nothing.
		if bounded.Err() == nil || err == nil {
			last = state
		}
		return done, err
	})
	if err == nil {
		return nil
	}
	if bounded.Err() != nil {
		err = context.Cause(bounded)
	}
	return &Error{What: what, After: time.Since(begin), Last: last, Err: err}
}

// While looks at once and then every interval for the whole duration: check has to be done each time. Its error, at
// once when it is not, is an *Error.
func While(ctx context.Context, what string, duration time.Duration, check Check, opts ...Option) error {
	begin := time.Now()
	end := begin.Add(duration)
	last := ""
	err := loop(ctx, opts, func() (bool, error) {
		holds, state, err := check(ctx)
		last = state
		if err == nil && !holds {
			err = fmt.Errorf("it no longer was")
		}
		return !time.Now().Before(end), err
	})
	if err == nil {
		return nil
	}
	return &Error{What: fmt.Sprintf("%s for %s", what, duration), After: time.Since(begin), Last: last, Err: err}
}

func loop(ctx context.Context, opts []Option, look func() (bool, error)) error {
	o := options{interval: Interval}
	for _, opt := range opts {
		opt(&o)
	}
	ticks := time.NewTicker(o.interval)
	defer ticks.Stop()
	for {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticks.C:
		}
	}
}
