package propagatorfault

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
)

// call is one kind of request to the propagator.
type call struct {
	method string
	path   *regexp.Regexp
}

// published is a call of the API, which is under two prefixes; the pattern's group is the id in it.
func published(method, pattern string) call {
	return call{method, regexp.MustCompile(`^/v[12]` + pattern + `$`)}
}

// internal is a call of the stand-in's workers.
func internal(method, pattern string) call {
	return call{method, regexp.MustCompile(`^/internal/v1` + pattern + `$`)}
}

// id stands in a pattern for what identifies the row.
const id = `/([^/]+)`

var (
	listActions     = published(http.MethodGet, `/actions`)
	listCheckpoints = published(http.MethodGet, `/checkpoints`)
	deprecate       = published(http.MethodPatch, `/checkpoints/deprecate`+id)
	createCluster   = published(http.MethodPost, `/cluster`)
	deleteCluster   = published(http.MethodDelete, `/cluster`+id)
	checkpointPod   = published(http.MethodPost, `/checkpoint/pod`)
	restorePod      = published(http.MethodPost, `/restore/pod`)
	getStatus       = published(http.MethodGet, `/checkpoint/status`+id)
	getManifest     = internal(http.MethodGet, `/checkpoints`+id+`/manifest`)
	chooseDeclared  = internal(http.MethodPost, `/restores/declared`)
	putArchive      = internal(http.MethodPut, `/blobs/(.+)`)
	reportResult    = internal(http.MethodPost, `/work`+id+`/result`)
)

// matches reports whether a request is this call, and the id in its path.
func (c call) matches(r *http.Request) (id string, ok bool) {
	m := c.path.FindStringSubmatch(r.URL.Path)
	if r.Method != c.method || m == nil {
		return "", false
	}
	return m[len(m)-1], true
}

// on is next, but for one call, which do answers.
func on(c call, next http.Handler, do func(w http.ResponseWriter, r *http.Request, id string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := c.matches(r); ok {
			do(w, r, id)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answer is a handler's answer, held back.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// FlushError makes the flush of a handler succeed: everything is here already.
func (a *answer) FlushError() error { return nil }

// hold has next answer into memory.
func hold(next http.Handler, r *http.Request) *answer {
	a := &answer{header: http.Header{}}
	next.ServeHTTP(a, r)
	a.WriteHeader(http.StatusOK)
	return a
}

// rewrite is next, but with change applied to the JSON of its answer.
func rewrite[T any](next http.Handler, w http.ResponseWriter, r *http.Request, change func(*T)) {
	a := hold(next, r)
	text := a.body.Bytes()
	var value T
	if a.code == http.StatusOK && json.Unmarshal(text, &value) == nil {
		change(&value)
		if changed, err := json.Marshal(value); err == nil {
			text = changed
		}
	}
	a.send(w, text)
}

// send writes the answer with another body.
func (a *answer) send(w http.ResponseWriter, body []byte) {
	for key, values := range a.header {
		w.Header()[key] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(a.code)
	_, _ = w.Write(body) // the other side may be gone: there is nobody left to tell
}

// refusal is the API's answer to a caller whose token it does not take, for what is not passed on; nil for any other.
func refusal(next http.Handler, r *http.Request) *answer {
	probe, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "/v1/user", nil)
	if err != nil {
		return nil // the arguments are well-formed
	}
	probe.Header.Set("Authorization", r.Header.Get("Authorization"))
	if a := hold(next, probe); a.code != http.StatusOK {
		return a
	}
	return nil
}

func accept(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // as above
}

// body reads a request's body and puts it back, so that it can be read again.
func body(r *http.Request) []byte {
	data, _ := io.ReadAll(r.Body) // what cannot be read is the handler's to refuse
	setBody(r, data)
	return data
}

func setBody(r *http.Request, data []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
}
