package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	// outage is how long is tried before a checkpoint or a restore fails of a propagator that is away: the engine starts
	// it again in a second or two.
	outage = 5 * time.Second
	// slowestTry is the longest interval before jitter, which makes it half as long again: what is over after
	// 5 s - 0.75 s is always noticed.
	slowestTry = 500 * time.Millisecond
)

// ErrRefused is an answer that asking again would not change.
var ErrRefused = errors.New("refused")

// Retry repeats what needs the propagator until it is done or has failed for 5 s, counted from its first failure, however
// long the attempt before took, and returns the last error. One that is a backoff.Permanent, or that is what the
// propagator refused (ErrRefused), ends it at once.
func Retry(ctx context.Context, what string, try func() error) error {
	var last error
	var failing time.Time
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = try()
		if last != nil && failing.IsZero() {
			failing = time.Now()
		}
		if errors.Is(last, ErrRefused) || last != nil && time.Since(failing) > stretch.Limit(outage)-slowestTry*3/2 {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 1.5, MaxInterval: slowestTry,
		}),
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, _ time.Duration) { slog.Warn(what+" failed, trying again", "error", err) }),
	)
	if err != nil && ctx.Err() != nil && last != nil {
		return errors.Join(last, context.Cause(ctx))
	}
	return err
}
