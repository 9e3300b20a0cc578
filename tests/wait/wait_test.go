package wait

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// counting is done at the nth look.
func counting(nth int) (Check, *int) {
	looks := 0
	return func(context.Context) (bool, string, error) {
		looks++
		return looks >= nth, fmt.Sprintf("look %d", looks), nil
	}, &looks
}

func TestAWaitLooksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		check, looks := counting(1)
		require.NoError(t, For(t.Context(), "it", time.Second, check))
		require.Equal(t, 1, *looks)
		require.Zero(t, time.Since(begin))
	})
}

func TestAWaitLooksEveryIntervalUntilDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		check, looks := counting(4)
		require.NoError(t, For(t.Context(), "it", time.Second, check, Every(10*time.Millisecond)))
		require.Equal(t, 4, *looks)
		require.Equal(t, 30*time.Millisecond, time.Since(begin))
	})
}

func TestAWaitInVainNamesWhatAndTheLastState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, _ := counting(1000)
		err := For(t.Context(), "pod web to be Ready", 250*time.Millisecond, check)
		require.EqualError(t, err, "wait for pod web to be Ready: context deadline exceeded after 250ms; last seen: look 3")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestALookThatTheDeadlineCutsOffDoesNotHideTheLastState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		err := For(t.Context(), "it", 250*time.Millisecond, func(ctx context.Context) (bool, string, error) {
			if looks++; looks == 1 {
				return false, "pending", nil
			}
			<-ctx.Done()
			return false, "", ctx.Err()
		})
		require.ErrorContains(t, err, "last seen: pending")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAnErrorEndsAWaitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := errors.New("it broke")
		begin := time.Now()
		err := For(t.Context(), "it", time.Minute, func(context.Context) (bool, string, error) { return false, "half", wrong })
		require.ErrorIs(t, err, wrong)
		require.ErrorContains(t, err, "last seen: half")
		require.Zero(t, time.Since(begin))
	})
}

func TestACancelledWaitSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the run was stopped"))
		check, _ := counting(1000)
		require.ErrorContains(t, For(ctx, "it", time.Minute, check), "the run was stopped")
	})
}

func TestWhileHasToHoldAtEveryLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		require.NoError(t, While(t.Context(), "it to stay", time.Second, func(context.Context) (bool, string, error) { return true, "", nil }))
		require.Equal(t, time.Second, time.Since(begin))

		begin = time.Now()
		looks := 0
		err := While(t.Context(), "it to stay", time.Minute, func(context.Context) (bool, string, error) {
			looks++
			return looks < 3, fmt.Sprintf("look %d", looks), nil
		})
		require.EqualError(t, err, "wait for it to stay for 1m0s: it no longer was after 200ms; last seen: look 3")
		require.Equal(t, 200*time.Millisecond, time.Since(begin))
	})
}
