package supervisor

import (
	"context"
	"fmt"
	"time"
)

// retry repeats try, with a pause between, until it succeeds or ctx ends; its error then has the cause and the last
// state.
func retry(ctx context.Context, between time.Duration, try func(context.Context) error) error {
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		// A try that ctx's end cut short knows less than the one before.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if stop := pause(ctx, between); stop != nil {
			return fmt.Errorf("%w: last state: %w", stop, last)
		}
	}
}

// pause waits for d, or returns the cause of ctx's end.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
