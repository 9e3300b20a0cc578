package propagator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// timed runs test on a clock of its own, with a client, all its limits as they are, of a propagator that answers with h.
func timed(t *testing.T, h func(call int, w http.ResponseWriter, r *http.Request), test func(*testing.T, *fake, *propagator.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		transport := propagatortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h(int(f.calls.Add(1)), w, r)
		}))
		c, err := propagator.New(propagatortest.Address, settings.Secret(token), propagator.WithPrefix("v2"),
			propagator.WithTransport(transport))
		require.NoError(t, err)
		test(t, f, c)
	})
}

// silent never answers. A server hears of its client's end only after it has read the body.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestAReadThatIsNotAnsweredIsSentAgain(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(http.ResponseWriter, *http.Request){
		"no answer": silent,
		"a body that drips": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "[")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(call int, w http.ResponseWriter, r *http.Request) {
				if call <= 2 {
					bad(w, r)
					return
				}
				_, _ = io.WriteString(w, `[{"id":"`+id1+`","name":"c","status":"active"}]`)
			}, func(t *testing.T, f *fake, c *propagator.Client) {
				begin := time.Now()
				got, err := c.Clusters(t.Context())
				require.NoError(t, err)
				require.Len(t, got, 1)
				assert.EqualValues(t, 3, f.calls.Load())
				assert.InDelta(t, 2*propagator.DefaultRequestTimeout, time.Since(begin), float64(time.Second))
			})
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	timed(t, func(call int, w http.ResponseWriter, _ *http.Request) {
		if call == 1 {
			w.Header().Set("Retry-After", "3")
			fails(w, 429, "slow down")
			return
		}
		text(w, id1)
	}, func(t *testing.T, f *fake, c *propagator.Client) {
		begin := time.Now()
		_, err := c.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "p"})
		require.NoError(t, err, "a refused POST has not acted and may be sent again")
		assert.Equal(t, 3*time.Second, time.Since(begin))
		assert.EqualValues(t, 2, f.calls.Load())
	})
}

func TestARetryAfterBeyondTheDeadlineFailsAtOnce(t *testing.T) {
	t.Parallel()
	timed(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		fails(w, 429, "come back tomorrow")
	}, func(t *testing.T, _ *fake, c *propagator.Client) {
		begin := time.Now()
		_, err := c.Clusters(t.Context())
		require.ErrorContains(t, err, "come back tomorrow")
		require.ErrorContains(t, err, "1h0m0s")
		assert.Zero(t, time.Since(begin))
	})
}

func TestTheTotalDeadlineEndsRetries(t *testing.T) {
	t.Parallel()
	timed(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fails(w, 503, "busy") },
		func(t *testing.T, f *fake, c *propagator.Client) {
			begin := time.Now()
			_, err := c.Clusters(t.Context())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "503 Service Unavailable: busy", "the last failure is part of the error")
			assert.Greater(t, f.calls.Load(), int32(5))
			assert.LessOrEqual(t, time.Since(begin), propagator.DefaultTotalTimeout)
		})
}

func TestALostAnswerThatDoesNotComeInTimeIsLookedFor(t *testing.T) {
	t.Parallel()
	var state actionServer
	timed(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		state.handle(w, r, func(_ int, w http.ResponseWriter, r *http.Request) {
			state.add(time.Now(), id1, propagator.ActionCheckpointPod, `{}`)
			silent(w, r)
		})
	}, func(t *testing.T, _ *fake, c *propagator.Client) {
		got, err := c.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
		require.NoError(t, err)
		assert.Equal(t, id1, got)
		assert.Equal(t, 1, state.posts)
	})
}

func TestAPostThatMayStillBeUnderWayIsNotSentAgain(t *testing.T) {
	t.Parallel()
	var state actionServer
	timed(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		state.handle(w, r, func(_ int, w http.ResponseWriter, r *http.Request) { silent(w, r) })
	}, func(t *testing.T, _ *fake, c *propagator.Client) {
		_, err := c.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
		var unknown *propagator.UnknownOutcomeError
		require.ErrorAs(t, err, &unknown)
		assert.True(t, unknown.TimedOut)
		require.ErrorContains(t, err, "may have acted")
		assert.Equal(t, 1, state.posts)
	})
}

func TestAPodThatNeverComesIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	timed(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		fails(w, 404, "Failed to find checkpointable resource")
	}, func(t *testing.T, f *fake, c *propagator.Client) {
		begin := time.Now()
		_, err := c.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "p"})
		require.ErrorContains(t, err, "Failed to find checkpointable resource")
		assert.True(t, propagator.IsNotFound(err))
		assert.Greater(t, f.calls.Load(), int32(1))
		assert.InDelta(t, propagator.DefaultSyncWait, time.Since(begin), float64(5*time.Second))
	})
}

func TestWaitUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	processing := func(w http.ResponseWriter) { text(w, `{"status":"processing","details":"why"}`) }
	t.Run("and asks ever more slowly", func(t *testing.T) {
		t.Parallel()
		timed(t, func(_ int, w http.ResponseWriter, _ *http.Request) { processing(w) },
			func(t *testing.T, f *fake, c *propagator.Client) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := c.Wait(ctx, id1)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "after 1m0s, last state processing (why)")
				require.ErrorContains(t, err, id1)
				assert.Less(t, f.calls.Load(), int32(60), "600 would be every %s", propagator.DefaultPollFirst)
				assert.Greater(t, f.calls.Load(), int32(30), "30 would be every %s", propagator.DefaultPollSlowest)
			})
	})
	t.Run("while a question is out", func(t *testing.T) {
		t.Parallel()
		timed(t, func(call int, w http.ResponseWriter, r *http.Request) {
			if call > 1 {
				silent(w, r)
				return
			}
			processing(w)
		}, func(t *testing.T, _ *fake, c *propagator.Client) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("no success within 1s"))
			defer cancel()
			_, err := c.Wait(ctx, id1)
			require.ErrorContains(t, err, "no success within 1s after 1s, last state processing (why)")
		})
	})
}

func TestACancelledCallEndsAtOnce(t *testing.T) {
	t.Parallel()
	timed(t, func(_ int, w http.ResponseWriter, r *http.Request) { silent(w, r) },
		func(t *testing.T, _ *fake, c *propagator.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			begin := time.Now()
			_, err := c.Clusters(ctx)
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, time.Second, time.Since(begin))
		})
}
