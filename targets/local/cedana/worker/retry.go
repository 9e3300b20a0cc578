package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// outage is how long a propagator may be away before a checkpoint or a restore fails of it: the engine starts it again in
// a second or two.
const outage = 5 * time.Second

// ErrRefused is an answer that asking again would not change.
var ErrRefused = errors.New("refused")

// Retry repeats what needs the propagator until it is done or has failed for 5 s, and returns the last error. One that
// is a backoff.Permanent, or that is what the propagator refused (ErrRefused), ends it at once.
func Retry(ctx context.Context, what string, try func() error) error {
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = try()
		if errors.Is(last, ErrRefused) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 1.5, MaxInterval: time.Second,
		}),
		backoff.WithMaxElapsedTime(outage),
		backoff.WithNotify(func(err error, _ time.Duration) { slog.Warn(what+" failed, trying again", "error", err) }),
	)
	if err != nil && ctx.Err() != nil && last != nil {
		return errors.Join(last, context.Cause(ctx))
	}
	return err
}
