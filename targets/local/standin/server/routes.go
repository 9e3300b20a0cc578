package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/propagator"
)

// handler answers one request; its error becomes the API's error body.
type handler func(w http.ResponseWriter, r *http.Request) error

const healthPath = "/healthz"

// api are the published endpoints, under /v1 and /v2 alike.
func (s *Server) api() map[string]handler {
	return map[string]handler{
		"GET /user": s.user,

		"POST /cluster":          s.createCluster,
		"GET /cluster":           s.listClusters,
		"GET /cluster/count":     s.countClusters,
		"DELETE /cluster/{id}":   s.deleteCluster,
		"GET /cluster/{id}/pods": s.clusterPods,
		"POST /cluster/sync":     s.syncCluster,

		"POST /checkpoint/pod":        s.checkpointPod,
		"GET /checkpoint/status/{id}": s.status,
		"GET /checkpoint/path":        s.checkpointPath,
		"POST /restore/pod":           s.restorePod,

		"GET /actions":                s.listActions,
		"GET /actions/{id}":           s.getAction,
		"GET /actions/from_pod/{uid}": s.actionFromPod,
		"POST /actions/upload":        s.uploadPodSpec,

		"GET /checkpoints":                  s.listCheckpoints,
		"POST /checkpoints":                 s.newCheckpoint,
		"PATCH /checkpoints/deprecate/{id}": s.deprecate,
		"PUT /checkpoints/info/{id}":        s.putCheckpointInfo,
		"POST /checkpoints/uploaded/{id}":   s.uploaded,

		"GET /restores":      s.listRestores,
		"GET /restores/{id}": s.getRestore,
		// PUT /restores/info/{id} and PUT /restores/{id}/profile: to the mux neither is more specific.
		"PUT /restores/{first}/{second}": s.putRestore,
		"POST /restores/events/{event}":  s.restoreEvent,

		"GET /discover/{name}":     s.discover,
		"GET /secrets":             s.secrets,
		"GET /files/{path...}":     s.fileURL,
		"PUT /files/{path...}":     s.fileURL,
		"GET /files/dir/{path...}": s.listFiles,
	}
}

// internal are the workers' endpoints; package work describes them.
func (s *Server) internal() map[string]handler {
	return map[string]handler{
		"GET /work":                      s.takeWork,
		"POST /work/{id}/result":         s.workResult,
		"POST /work/{id}/renew":          s.renewWork,
		"GET /blobs/{path...}":           s.getBlob,
		"PUT /blobs/{path...}":           s.putBlob,
		"GET /checkpoints/{id}/manifest": s.manifest,
		"POST /restores/declared":        s.declaredRestore,
	}
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	add := func(prefix string, handlers map[string]handler) {
		for pattern, h := range handlers {
			method, rest, _ := strings.Cut(pattern, " ")
			mux.Handle(method+" "+prefix+rest, s.answer(h))
		}
	}
	add("/v1", s.api())
	add("/v2", s.api())
	add("/internal/v1", s.internal())
	mux.Handle("GET "+healthPath, s.answer(s.health))
	return mux
}

func (s *Server) answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		switch {
		case err == nil:
		case errors.Is(err, errGone) || r.Context().Err() != nil:
			s.log.Debug("answer not delivered", "path", r.URL.Path, "error", err)
		default:
			if writeError(w, r, err) == http.StatusInternalServerError {
				s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			}
		}
	})
}

const requestIDHeader = "X-Request-Id"

// middleware gives each request an id, checks the token before anything else is looked at, makes the body plain, logs,
// and turns what the mux answers by itself (404, 405) and panics into the API's error bodies.
func (s *Server) middleware(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if len(id) == 0 || len(id) > 128 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
			id = uuid.NewString()
		}
		w.Header().Set(requestIDHeader, id)
		w.Header().Set(propagator.HeaderKeepsKeys, "true")
		rec := &recorder{ResponseWriter: w}
		start := s.now()
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				s.log.Error("panic", "path", r.URL.Path, "request", id, "panic", p, "stack", string(debug.Stack()))
				if rec.code == 0 {
					writeError(rec, r, fmt.Errorf("internal error"))
				}
			}
			level := slog.LevelInfo
			if rec.code == http.StatusNoContent || r.URL.Path == healthPath || r.Method == http.MethodGet {
				level = slog.LevelDebug
			}
			s.log.Log(r.Context(), level, "request", "method", r.Method, "path", r.URL.Path, "code", rec.code,
				"took", s.now().Sub(start), "request", id)
		}()
		if r.URL.Path != healthPath && !s.authorized(r) && !s.signed(r) {
			rec.Header().Set("WWW-Authenticate", "Bearer")
			writeError(rec, r, &httpError{http.StatusUnauthorized, "invalid or missing API key"})
			return
		}
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			// The mux would redirect, and a client would make a GET of its POST.
			writeError(rec, r, badRequest("Invalid path %.200q: want %.200q", r.URL.Path, clean))
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			refuse(rec, mux, r)
			return
		}
		if err := decodeBody(r); err != nil {
			rec.Header().Set("Accept-Encoding", "gzip")
			writeError(rec, r, err)
			return
		}
		mux.ServeHTTP(rec, r)
	})
}

// authorized compares in constant time; the sums make the length no secret's tell either.
func (s *Server) authorized(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return ok && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], s.tokenSum[:]) == 1
}

// refuse answers a request that no pattern matches: another method would match, or nothing is there.
func refuse(w http.ResponseWriter, mux *http.ServeMux, r *http.Request) {
	probe := &headerOnly{header: http.Header{}}
	mux.ServeHTTP(probe, r)
	if probe.code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		writeError(w, r, &httpError{probe.code, "method " + r.Method + " is not allowed here"})
		return
	}
	writeError(w, r, notFound("no such endpoint: %s %s", r.Method, r.URL.Path))
}

type headerOnly struct {
	header http.Header
	code   int
}

func (h *headerOnly) Header() http.Header         { return h.header }
func (h *headerOnly) Write(p []byte) (int, error) { return len(p), nil }
func (h *headerOnly) WriteHeader(code int)        { h.code = code }

type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// ReadFrom lets a file be sent without a copy through this process.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return io.Copy(r.ResponseWriter, src)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func pathID(r *http.Request, what string) (string, error) { return parseID(r.PathValue("id"), what) }

// parseID accepts the 36 character form of a UUID and returns it in lower case.
func parseID(text, what string) (string, error) {
	if len(text) == 36 {
		if id, err := uuid.Parse(text); err == nil {
			return id.String(), nil
		}
	}
	return "", badRequest("Invalid %s: %.64q is not a UUID", what, text)
}
