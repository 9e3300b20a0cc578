package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// maxBody limits JSON bodies, in bytes. A pod's object is at most 1.5 MiB (etcd's limit).
const maxBody = 8 << 20

// httpError is an answer that is not 200.
type httpError struct {
	code    int
	message string
}

func (e *httpError) Error() string { return e.message }

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &httpError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) error {
	return &httpError{http.StatusForbidden, fmt.Sprintf(format, args...)}
}

// writeError answers with the error body of the API's version; whatever is no httpError is an internal error.
func writeError(w http.ResponseWriter, r *http.Request, err error) int {
	code, message := http.StatusInternalServerError, err.Error()
	var known *httpError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		code, message = known.code, known.message
	case errors.As(err, &tooLarge):
		code, message = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)
	}
	body := propagator.ErrorBody{Message: message}
	if text := strconv.Itoa(code); !newer(r) {
		body.Code = &text
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	raw, err := json.Marshal(body)
	if err == nil {
		_, err = w.Write(raw)
	}
	_ = err // the other side is gone: there is nobody left to tell
	return code
}

func writeText(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := io.WriteString(w, text)
	return sent(err)
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return sent(err)
}

// writeNewestFirst answers with a list of rows that are JSON already.
func writeNewestFirst[T any](w http.ResponseWriter, rows []store.Rendered[T], created func(*T) time.Time) error {
	slices.SortStableFunc(rows, func(a, b store.Rendered[T]) int { return created(b.Value).Compare(created(a.Value)) })
	size := len("[]") + len(rows)
	for _, row := range rows {
		size += len(row.Text)
	}
	body := append(make([]byte, 0, size), '[')
	for i, row := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, row.Text...)
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(append(body, ']'))
	return sent(err)
}

// errGone is an answer that could not be delivered.
var errGone = errors.New("the other side is gone")

func sent(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// readJSON decodes a request's body, which must be one JSON object.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return badRequest("bad request body: %v", err)
	}
	return nil
}
