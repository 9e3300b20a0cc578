package supervisor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestInsistingTriesUntilItSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := retry(t.Context(), time.Second, func(context.Context) error {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || tries != 3 {
			t.Fatalf("tried %d times: %v", tries, err)
		}
	})
}

func TestInsistingInVainTellsWhatWasSeenBeforeTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late, refused := errors.New("not done within 90s"), errors.New("connection refused")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 90*time.Second, late)
		defer cancel()
		tries := 0
		err := retry(ctx, time.Second, func(ctx context.Context) error {
			if tries++; tries == 1 {
				return refused
			}
			<-ctx.Done() // the wait ends while a try goes on
			return ctx.Err()
		})
		if !errors.Is(err, late) || !errors.Is(err, refused) || errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}
