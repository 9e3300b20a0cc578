package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	// pollInterval is short: every wait here ends after tenths of a second on a warm machine.
	pollInterval = 100 * time.Millisecond
	// pollTimeout bounds one attempt, so that a hanging one does not eat the whole deadline.
	pollTimeout = 5 * time.Second
)

// until repeats attempt until it is done, fails for good (err), or ctx ends. state says what is missing; the last one
// is in the error. The step shows what is waited for.
func until(ctx context.Context, step *console.Step, what string, attempt func(ctx context.Context) (done bool, state string, err error)) error {
	var state string
	for {
		step.Set("%s", describe("waiting for "+what, state))
		try, cancel := context.WithTimeout(ctx, stretch.Limit(pollTimeout))
		done, now, err := attempt(try)
		cancel()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if done && err == nil {
			return nil
		}
		// An attempt cut short by the deadline knows less than the one before.
		if ctx.Err() == nil || state == "" {
			state = now
		}
		select {
		case <-ctx.Done():
			if state == "" {
				state = "unknown"
			}
			return fmt.Errorf("wait for %s: %w; last state: %s", what, context.Cause(ctx), state)
		case <-time.After(pollInterval):
		}
	}
}

func describe(what, state string) string {
	if state == "" {
		return what
	}
	return what + ": " + state
}
