package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// queue is a propagator with some work to hand out.
type queue struct {
	mutex   sync.Mutex
	pending []work.Work
	polls   []string
	results map[string]work.Result
	blobs   map[string]string
	// lost makes every result and renewal come too late; failing is how many uploads break.
	lost    bool
	failing int
}

func (q *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	path := strings.TrimPrefix(r.URL.Path, prefix)
	switch {
	case r.Header.Get("Authorization") != "Bearer a-token":
		http.Error(w, `{"message":"invalid or missing API key"}`, http.StatusUnauthorized)
	case path == "/work":
		q.polls = append(q.polls, r.URL.RawQuery)
		if len(q.pending) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_ = json.NewEncoder(w).Encode(q.pending[0])
		q.pending = q.pending[1:]
	case strings.HasPrefix(path, "/work/"):
		if q.lost {
			http.Error(w, `{"message":"the action ended: CRIU said no"}`, http.StatusNotFound)
			return
		}
		var result work.Result
		_ = json.NewDecoder(r.Body).Decode(&result)
		q.results[strings.Split(path, "/")[2]] = result
	case strings.HasPrefix(path, "/blobs/") && r.Method == http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if q.failing > 0 {
			q.failing--
			http.Error(w, `{"message":"disk full"}`, http.StatusInternalServerError)
			return
		}
		q.blobs[path] = string(data)
		sum := sha256.Sum256(data)
		w.Header().Set(work.HeaderSHA256, hex.EncodeToString(sum[:]))
		_, _ = fmt.Fprint(w, len(data))
	default:
		http.NotFound(w, r)
	}
}

func serve(t *testing.T, q *queue, token settings.Secret) *Client {
	t.Helper()
	q.results, q.blobs = map[string]work.Result{}, map[string]string{}
	server := httptest.NewServer(q)
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/v1/", token, work.RoleHelper, "the-cluster", "the node", nil)
	require.NoError(t, err)
	return c
}

func TestWorkIsDoneSideBySideAndAnswered(t *testing.T) {
	t.Parallel()
	q := &queue{pending: []work.Work{{ID: "one"}, {ID: "two"}}}
	c := serve(t, q, "a-token")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var both sync.WaitGroup
	both.Add(2)
	c.Serve(ctx, func(err error) { require.NoError(t, err) }, func(_ context.Context, w *work.Work) Outcome {
		both.Done()
		both.Wait() // each waits for the other: one after the other would never end
		stop()
		return Outcome{Result: work.Result{PodName: w.ID}}
	})
	require.Equal(t, "one", q.results["one"].PodName, "reported although the worker was told to stop")
	require.Equal(t, "two", q.results["two"].PodName)
	require.Positive(t, q.results["one"].TotalDuration)
	require.Contains(t, q.polls[0], "cluster_id=the-cluster")
	require.Contains(t, q.polls[0], "node=the+node")
	require.Contains(t, q.polls[0], "role=helper")
	require.Contains(t, q.polls[0], "wait=0s", "the first poll shows at once whether polling works")
}

func TestAResultThatComesTooLateIsUndone(t *testing.T) {
	t.Parallel()
	q := &queue{pending: []work.Work{{ID: "one"}}, lost: true}
	c := serve(t, q, "a-token")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	undone := false
	c.Serve(ctx, func(error) {}, func(context.Context, *work.Work) Outcome {
		stop()
		return Outcome{Undo: func(ctx context.Context) { undone = ctx.Err() == nil }}
	})
	require.True(t, undone)
	require.ErrorIs(t, c.Renew(t.Context(), "one"), ErrLost)
	require.ErrorContains(t, c.Renew(t.Context(), "one"), "CRIU said no")
}

func TestAPropagatorThatRefusesIsToldOf(t *testing.T) {
	t.Parallel()
	c := serve(t, &queue{}, "wrong")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c.Serve(ctx, func(err error) {
		require.ErrorContains(t, err, "401")
		require.ErrorContains(t, err, "invalid or missing API key")
		require.NotContains(t, err.Error(), "wrong")
		stop()
	}, nil)
}

func TestAnUploadOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		back  time.Duration
		token settings.Secret
		asked int
		want  string
	}{
		"of seconds, and is sent again whole": {4 * time.Second, "a-token", 3, ""},
		"but not one that goes on":            {time.Hour, "a-token", 3, "disk full"},
		"but not a refusal":                   {0, "wrong", 1, "invalid or missing API key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{blobs: map[string]string{}, failing: math.MaxInt}
				var asked atomic.Int32
				transport := propagatortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					q.ServeHTTP(w, r)
				}))
				c, err := New(propagatortest.Address, row.token, work.RoleHelper, "the-cluster", "the node", transport)
				require.NoError(t, err)
				time.AfterFunc(row.back, func() {
					q.mutex.Lock()
					defer q.mutex.Unlock()
					q.failing = 0
				})
				begin := time.Now()
				stored, err := c.Put(t.Context(), "checkpoints/a b/c.tar", 11, reader("the archive"))
				require.GreaterOrEqual(t, int(asked.Load()), row.asked)
				require.LessOrEqual(t, time.Since(begin), outage)
				if row.want != "" {
					require.ErrorContains(t, err, row.want)
					require.Equal(t, row.asked == 1, errors.Is(err, ErrRefused))
					return
				}
				require.NoError(t, err)
				require.Equal(t, Stored{Size: 11, SHA256: "c8d18c54d108f4f0237eb4e1c4473cfd3dbd267afe97c2d967003bda0f546e08"}, stored)
				require.Equal(t, "the archive", q.blobs["/blobs/checkpoints/a b/c.tar"])
			})
		})
	}
}

// The propagator may be started anew in the middle of an upload, however long that has taken by then.
func TestALongUploadThatIsCutOffIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{blobs: map[string]string{}}
		cut := false
		transport := propagatortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !cut {
				cut = true
				time.Sleep(time.Minute)
				panic(http.ErrAbortHandler)
			}
			q.ServeHTTP(w, r)
		}))
		c, err := New(propagatortest.Address, "a-token", work.RoleHelper, "the-cluster", "the node", transport)
		require.NoError(t, err)
		for _, size := range []int64{11, -1} {
			cut = false
			stored, err := c.Put(t.Context(), "checkpoints/c.tar", size, reader("the archive"))
			require.NoError(t, err)
			require.EqualValues(t, 11, stored.Size)
			require.Equal(t, "the archive", q.blobs["/blobs/checkpoints/c.tar"])
		}
	})
}

// What cannot be read to its end is not stored, nor is less than was said.
func TestAnUploadThatBreaksOffIsNotStored(t *testing.T) {
	t.Parallel()
	for size, content := range map[int64]io.Reader{
		-1: io.MultiReader(strings.NewReader("the arch"), iotest.ErrReader(errors.New("disk gone"))),
		11: strings.NewReader("the arch"),
	} {
		q := &queue{}
		c := serve(t, q, "a-token")
		_, err := c.putOnce(t.Context(), "checkpoints/c.tar", size, io.NopCloser(content))
		require.Error(t, err)
		require.Empty(t, q.blobs)
	}
}

func reader(text string) func() io.ReadCloser {
	return func() io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }
}

func TestPollEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	c, err := New(server.URL, "a-token", work.RoleManager, "c", "", nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = c.Poll(ctx, time.Minute)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
