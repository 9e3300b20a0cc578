package propagator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

const (
	token = "canary-token-5f1b"
	id1   = "0b6c1f0e-6a0b-4a51-9d1b-1f2e3d4c5b6a"
	id2   = "1c7d2f1f-7b1c-4b62-8e2c-2f3e4d5c6b7b"
)

// fake is a propagator with the failures that a test wants.
type fake struct {
	*httptest.Server
	calls atomic.Int32
}

func serve(t *testing.T, h func(call int, w http.ResponseWriter, r *http.Request)) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h(int(f.calls.Add(1)), w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func client(t *testing.T, url string, opts ...propagator.Option) *propagator.Client {
	t.Helper()
	c, err := propagator.New(url, settings.Secret(token), append([]propagator.Option{
		propagator.WithPrefix("v2"), propagator.WithRetryInterval(time.Millisecond),
		propagator.WithPolling(time.Millisecond, 5*time.Millisecond),
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func text(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, body)
}

func fails(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message, "code": fmt.Sprint(code)})
}

// reset ends the connection without an answer, after the request was read.
func reset(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// halfABody promises more than it sends.
func halfABody(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Length", fmt.Sprint(2*len(body)))
	_, _ = io.WriteString(w, body)
}

func TestAnIDIsReadInEverySpelling(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"bare":           id1,
		"with newline":   id1 + "\n",
		"quoted":         `"` + id1 + `"`,
		"upper case":     strings.ToUpper(id1),
		"object":         `{"id":"` + id1 + `"}`,
		"cluster object": `{"cluster_id":"` + id1 + `"}`,
		"nested object":  `{"data":{"id":"` + id1 + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { text(w, body) })
			got, err := client(t, f.URL).CreateCluster(t.Context(), "c")
			require.NoError(t, err)
			assert.Equal(t, id1, got)
		})
	}
}

func TestAnAnswerThatIsNoIDIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ contentType, body, want string }{
		"empty":             {"text/plain", "", "empty answer"},
		"a word":            {"text/plain", "OK", `"OK" is not an id`},
		"object without id": {"application/json", `{"ok":true}`, "no id"},
		"broken quotes":     {"application/json", `"` + id1, "not a JSON string"},
		"a web page":        {"text/html", "<html><title>Sign in</title></html>", `web page ("Sign in")`},
		"an unmarked page":  {"text/plain", "<!DOCTYPE html><html></html>", "web page"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				_, _ = io.WriteString(w, tc.body)
			})
			_, err := client(t, f.URL).CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "p"})
			require.ErrorContains(t, err, tc.want)
			assert.EqualValues(t, 1, f.calls.Load(), "it acted, so it must not be sent again")
		})
	}
}

// A read may be repeated after anything that may pass.
func TestAReadSurvivesABadMoment(t *testing.T) {
	t.Parallel()
	rows := `[{"id":"` + id1 + `","name":"c","status":"active"}]`
	for name, bad := range map[string]func(http.ResponseWriter, *http.Request){
		"429":              func(w http.ResponseWriter, _ *http.Request) { fails(w, 429, "slow down") },
		"502 web page":     func(w http.ResponseWriter, _ *http.Request) { page(w, 502, "502 Bad Gateway") },
		"503":              func(w http.ResponseWriter, _ *http.Request) { fails(w, 503, "busy") },
		"504":              func(w http.ResponseWriter, _ *http.Request) { fails(w, 504, "late") },
		"connection reset": reset,
		"half a body":      func(w http.ResponseWriter, _ *http.Request) { halfABody(w, rows) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, func(call int, w http.ResponseWriter, r *http.Request) {
				if call <= 2 {
					bad(w, r)
					return
				}
				_, _ = io.WriteString(w, rows)
			})
			got, err := client(t, f.URL).Clusters(t.Context())
			require.NoError(t, err)
			require.Len(t, got, 1)
			assert.EqualValues(t, 3, f.calls.Load())
		})
	}
}

func page(w http.ResponseWriter, code int, title string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, "<html><head><title>%s</title></head></html>", title)
}

func TestWhatWillNotPassIsNotRetried(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		h    func(http.ResponseWriter)
		want string
	}{
		"400": {func(w http.ResponseWriter) { fails(w, 400, "no name") }, "400 Bad Request: no name"},
		"401": {func(w http.ResponseWriter) { fails(w, 401, "bad key") }, "401 Unauthorized: bad key"},
		"500": {func(w http.ResponseWriter) { fails(w, 500, "database") }, "500 Internal Server Error: database"},
		"201": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) }, "201 Created"},
		"plain text": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "just\ntext\x00")
		}, "400 Bad Request: just text"},
		"wrong content": {func(w http.ResponseWriter) { text(w, "not json") }, "decode answer to GET /cluster"},
		"a page":        {func(w http.ResponseWriter) { page(w, 200, "Welcome") }, `web page ("Welcome"), not with the API`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { tc.h(w) })
			_, err := client(t, f.URL).Clusters(t.Context())
			require.ErrorContains(t, err, tc.want)
			assert.EqualValues(t, 1, f.calls.Load())
		})
	}
}

func TestAnErrorNamesTheRequestAndNeverTheToken(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req-7")
		fails(w, 400, "you sent "+r.Header.Get("Authorization"))
	})
	c := client(t, f.URL)
	_, err := c.Checkpoints(t.Context(), propagator.CheckpointFilter{IDs: []string{id1}})
	var api *propagator.APIError
	require.ErrorAs(t, err, &api)
	assert.Equal(t, propagator.APIError{
		Method: "GET", Path: "/v2/checkpoints", StatusCode: 400, Message: "you sent Bearer ***", RequestID: "req-7",
	}, *api)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, c), token)
}

func TestAnAnswerWithoutRequestIDIsNamedByTheOneSent(t *testing.T) {
	t.Parallel()
	var sent atomic.Value
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		sent.Store(r.Header.Get("X-Request-Id"))
		fails(w, 400, "no")
	})
	_, err := client(t, f.URL).Clusters(t.Context())
	var api *propagator.APIError
	require.ErrorAs(t, err, &api)
	assert.NotEmpty(t, api.RequestID)
	assert.Equal(t, sent.Load(), api.RequestID)
}

func TestAnAnswerThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	_, err := client(t, f.URL, propagator.WithMaxAnswer(1<<10)).Clusters(t.Context())
	require.ErrorContains(t, err, "more than 1024 bytes")
	assert.EqualValues(t, 1, f.calls.Load())
}

func TestTheTokenStaysWithItsHost(t *testing.T) {
	t.Parallel()
	var leaked atomic.Value
	leaked.Store("")
	elsewhere := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		leaked.Store(leaked.Load().(string) + r.Header.Get("Authorization"))
		if r.URL.Path == "/open" {
			_, _ = io.WriteString(w, "[]")
			return
		}
		fails(w, 401, "who are you")
	})
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/cluster":
			http.Redirect(w, r, elsewhere.URL+"/open", http.StatusFound)
		default:
			http.Redirect(w, r, elsewhere.URL+"/shut", http.StatusTemporaryRedirect)
		}
	})
	c := client(t, f.URL)
	rows, err := c.Clusters(t.Context())
	require.NoError(t, err, "a GET follows")
	assert.Empty(t, rows)

	_, err = c.User(t.Context())
	require.ErrorContains(t, err, "after a redirect to "+elsewhere.URL+", where the token is not sent")

	_, err = c.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "p"})
	require.ErrorContains(t, err, "redirects a POST to", "a POST does not follow elsewhere")

	assert.Empty(t, leaked.Load())
}

func TestARedirectThatWouldTurnAPostIntoAGetIsRefused(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			text(w, id1)
			return
		}
		http.Redirect(w, r, "/v2/other", http.StatusMovedPermanently)
	})
	_, err := client(t, f.URL).CreateCluster(t.Context(), "c")
	require.ErrorContains(t, err, "redirects a POST")
}

// actionServer has actions, and a POST that answers as the test wants.
type actionServer struct {
	mu      sync.Mutex
	actions []propagator.Action
	posts   int
}

func (a *actionServer) add(at time.Time, id string, kind propagator.ActionType, details string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.actions = append([]propagator.Action{{
		ActionID: id, Type: kind, Status: "processing", ActionTimestamp: &at, Details: json.RawMessage(details), CheckpointID: id2,
	}}, a.actions...)
}

func (a *actionServer) handle(w http.ResponseWriter, r *http.Request, post func(n int, w http.ResponseWriter, r *http.Request)) {
	a.mu.Lock()
	rows := append([]propagator.Action{}, a.actions...)
	if r.Method == http.MethodPost {
		a.posts++
	}
	posts := a.posts
	a.mu.Unlock()
	switch {
	case r.Method == http.MethodPost:
		post(posts, w, r)
	case r.URL.Path == "/v2/user":
		text(w, id2)
	case r.URL.Path == "/v2/actions":
		_ = json.NewEncoder(w).Encode(rows)
	case strings.HasPrefix(r.URL.Path, "/v2/actions/from_pod/") && len(rows) > 0:
		text(w, rows[0].ActionID)
	default:
		fails(w, 404, "not here")
	}
}

func TestALostAnswerIsLookedForAndNotSentTwice(t *testing.T) {
	t.Parallel()
	lost := map[string]func(http.ResponseWriter, *http.Request){
		"connection reset after the POST was read": reset,
		"half a body":         func(w http.ResponseWriter, _ *http.Request) { halfABody(w, id1) },
		"502 from a proxy":    func(w http.ResponseWriter, _ *http.Request) { page(w, 502, "Bad Gateway") },
		"503 after it passed": func(w http.ResponseWriter, _ *http.Request) { fails(w, 503, "upstream reset") },
	}
	kinds := map[string]struct {
		kind    propagator.ActionType
		details string
		call    func(*propagator.Client) (string, error)
	}{
		"checkpoint": {propagator.ActionCheckpointPod, `{}`, func(c *propagator.Client) (string, error) {
			return c.CheckpointPod(context.Background(), propagator.CheckpointPodRequest{PodID: "uid"})
		}},
		"checkpoint by name": {propagator.ActionCheckpointPod, `{"pod_name":"a","namespace":"n"}`, func(c *propagator.Client) (string, error) {
			return c.CheckpointPod(context.Background(), propagator.CheckpointPodRequest{PodName: "a", Namespace: "n"})
		}},
		"restore": {propagator.ActionRestorePod, `{"source_action_id":"` + id2 + `"}`, func(c *propagator.Client) (string, error) {
			return c.RestorePod(context.Background(), propagator.RestorePodRequest{ActionID: id2})
		}},
	}
	for how, lose := range lost {
		for what, k := range kinds {
			t.Run(what+", "+how, func(t *testing.T) {
				t.Parallel()
				var state actionServer
				// An old action of the same pod must not be taken for the lost one.
				state.add(time.Now().Add(-time.Minute), id2, propagator.ActionCheckpointPod, k.details)
				f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
					state.handle(w, r, func(_ int, w http.ResponseWriter, r *http.Request) {
						state.add(time.Now(), id1, k.kind, k.details)
						lose(w, r)
					})
				})
				got, err := k.call(client(t, f.URL))
				require.NoError(t, err)
				assert.Equal(t, id1, got)
				assert.Equal(t, 1, state.posts)
			})
		}
	}
}

func TestAPostThatIsProvenNotToHaveActedIsSentAgain(t *testing.T) {
	t.Parallel()
	var state actionServer
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		state.handle(w, r, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				reset(w, r)
				return
			}
			text(w, id1)
		})
	})
	got, err := client(t, f.URL).CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
	require.NoError(t, err)
	assert.Equal(t, id1, got)
	assert.Equal(t, 2, state.posts)
}

func TestAPostThatNeverLeftIsSentAgain(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { text(w, id1) })
	var dials atomic.Int32
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) <= 2 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	got, err := client(t, f.URL, propagator.WithTransport(transport)).CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
	require.NoError(t, err)
	assert.Equal(t, id1, got)
	assert.EqualValues(t, 1, f.calls.Load())
}

func TestADeleteThatHasActedUnseenIsASuccess(t *testing.T) {
	t.Parallel()
	f := serve(t, func(call int, w http.ResponseWriter, r *http.Request) {
		if call == 1 {
			reset(w, r)
			return
		}
		fails(w, 404, "no such cluster")
	})
	require.NoError(t, client(t, f.URL).DeleteCluster(t.Context(), id1))

	gone := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fails(w, 404, "no such cluster") })
	err := client(t, gone.URL).DeleteCluster(t.Context(), id1)
	assert.True(t, propagator.IsNotFound(err), "got %v", err)
}

func TestAFreshPodIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := serve(t, func(call int, w http.ResponseWriter, _ *http.Request) {
		if call <= 3 {
			fails(w, 404, "Failed to find checkpointable resource")
			return
		}
		text(w, id1)
	})
	got, err := client(t, f.URL).CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "p"})
	require.NoError(t, err)
	assert.Equal(t, id1, got)
}

func TestARestoreOfAnUnknownActionIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fails(w, 404, "Action ID not found") })
	_, err := client(t, f.URL).RestorePod(t.Context(), propagator.RestorePodRequest{ActionID: id1})
	assert.True(t, propagator.IsNotFound(err))
	assert.EqualValues(t, 1, f.calls.Load())
}

func TestStatusFallsBackToTheActions(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]propagator.OperationStatus{
		"success": propagator.StatusReady, "completed": propagator.StatusReady, "ready": propagator.StatusReady,
		"failed": propagator.StatusError, "error": propagator.StatusError,
		"processing": propagator.StatusProcessing,
	} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/actions" {
					fails(w, 404, "Action ID not found")
					return
				}
				_, _ = fmt.Fprintf(w, `[{"action_id":%q,"status":%q,"details":{"error":"why"}}]`, id1, word)
			})
			got, err := client(t, f.URL).Status(t.Context(), id1)
			require.NoError(t, err)
			assert.Equal(t, propagator.Status{Status: want, Details: "why"}, got)
		})
	}
}

func TestStatusOfAnUnknownAction(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/actions" {
			_, _ = io.WriteString(w, "[]")
			return
		}
		fails(w, 404, "Action ID not found")
	})
	got, err := client(t, f.URL).Status(t.Context(), id1)
	assert.True(t, propagator.IsNotFound(err))
	assert.Equal(t, propagator.StatusNotFound, got.Status)
}

func TestWait(t *testing.T) {
	t.Parallel()
	states := func(words ...string) func(int, http.ResponseWriter, *http.Request) {
		return func(call int, w http.ResponseWriter, _ *http.Request) {
			word := words[min(call, len(words))-1]
			_, _ = fmt.Fprintf(w, `{"status":%q,"details":"why"}`, word)
		}
	}
	t.Run("until ready", func(t *testing.T) {
		t.Parallel()
		f := serve(t, states("initialized", "processing", "checkpoint_created", "something new", "ready"))
		got, err := client(t, f.URL).Wait(t.Context(), id1)
		require.NoError(t, err)
		assert.Equal(t, propagator.StatusReady, got.Status)
		assert.EqualValues(t, 5, f.calls.Load())
	})
	t.Run("until error", func(t *testing.T) {
		t.Parallel()
		f := serve(t, states("processing", "error"))
		_, err := client(t, f.URL).Wait(t.Context(), id1)
		var action *propagator.ActionError
		require.ErrorAs(t, err, &action)
		assert.Equal(t, propagator.ActionError{ActionID: id1, Details: "why"}, *action)
	})
}

func TestTheVersionPrefixIsFoundOnce(t *testing.T) {
	t.Parallel()
	for _, served := range []string{"/v1", "/v2"} {
		t.Run(served, func(t *testing.T) {
			t.Parallel()
			var probes atomic.Int32
			f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/user") {
					probes.Add(1)
				}
				switch r.URL.Path {
				case served + "/user":
					text(w, id1)
				case served + "/cluster":
					_, _ = io.WriteString(w, "[]")
				default:
					page(w, 404, "Not Found")
				}
			})
			c, err := propagator.New(f.URL+"/v1/", settings.Secret(token))
			require.NoError(t, err)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					_, err := c.Clusters(context.Background())
					assert.NoError(t, err)
				})
			}
			wg.Wait()
			assert.LessOrEqual(t, probes.Load(), int32(2))
		})
	}
}

func TestAWrongTokenIsNotTakenForAWrongVersion(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fails(w, 401, "bad key") })
	c, err := propagator.New(f.URL, settings.Secret(token))
	require.NoError(t, err)
	_, err = c.Clusters(t.Context())
	assert.True(t, propagator.IsRefused(err), "got %v", err)
}

func TestFiltersHoldWhereTheServerIgnoresThem(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/actions" {
			_, _ = io.WriteString(w, `[
				{"action_id":"a","type":"checkpoint_pod","status":"ready","cluster_id":"one"},
				{"action_id":"b","type":"restore_pod","status":"ready","cluster_id":"one"},
				{"action_id":"c","type":"checkpoint_pod","status":"error"},
				{"action_id":"d","type":"checkpoint_pod","status":"ready","cluster_id":"two"},
				{"action_id":"e","type":"checkpoint_pod","status":"ready","checkpoint_id":null,"details":null}]`)
			return
		}
		_, _ = io.WriteString(w, `[
			{"id":"a","info":{"cluster_id":"one"}},{"id":"b","info":{"cluster_id":"two"}},{"id":"c","info":null},{"id":"d"}]`)
	})
	c := client(t, f.URL)
	actions, err := c.Actions(t.Context(), propagator.ActionFilter{Type: propagator.ActionCheckpointPod, ClusterID: "one", Status: "ready"})
	require.NoError(t, err)
	var ids []string
	for _, a := range actions {
		ids = append(ids, a.ActionID)
	}
	assert.Equal(t, []string{"a", "e"}, ids)

	rows, err := c.Checkpoints(t.Context(), propagator.CheckpointFilter{ClusterID: "one"})
	require.NoError(t, err)
	ids = nil
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	assert.Equal(t, []string{"a", "c", "d"}, ids)
}

func TestRetriesAreToldWithoutTheToken(t *testing.T) {
	t.Parallel()
	f := serve(t, func(call int, w http.ResponseWriter, r *http.Request) {
		if call == 1 {
			fails(w, 503, "you said "+r.Header.Get("Authorization"))
			return
		}
		_, _ = io.WriteString(w, "[]")
	})
	var log bytes.Buffer
	_, err := client(t, f.URL, propagator.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).Clusters(t.Context())
	require.NoError(t, err)
	assert.Contains(t, log.String(), "retrying")
	assert.NotContains(t, log.String(), token)
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func() (*propagator.Client, error){
		"prefix": func() (*propagator.Client, error) {
			return propagator.New("http://h", "t", propagator.WithPrefix("v3"))
		},
		"url":   func() (*propagator.Client, error) { return propagator.New("ftp://h", "t") },
		"token": func() (*propagator.Client, error) { return propagator.New("http://h", "two words") },
		"timeout": func() (*propagator.Client, error) {
			return propagator.New("http://h", "t", propagator.WithTotalTimeout(0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := make()
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "two words")
		})
	}
}
