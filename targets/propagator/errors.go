package propagator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// APIError is an answer that is not a success, or a success that is not the API's. It never holds the token.
type APIError struct {
	Method string
	// Path has the version prefix and no query.
	Path       string
	StatusCode int
	// Message is the server's own where it gave one.
	Message string
	// RequestID is the X-Request-Id of the answer, or the one sent where the answer has none.
	RequestID string
	// HTML says that the answer was a web page: something else than a propagator, or a proxy before it, answered.
	HTML bool
}

func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d %s", e.Method, e.Path, e.StatusCode, http.StatusText(e.StatusCode))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// IsNotFound reports whether err is the API's 404.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsForbidden reports whether err is the API's 403: the token is good, and may not do this.
func IsForbidden(err error) bool { return hasStatus(err, http.StatusForbidden) }

// IsRefused reports whether err is the API's 401 or 403, and not a proxy's page. Some servers say 401 where the token is
// good and may not do this: only another request with the same token can tell.
func IsRefused(err error) bool {
	var api *APIError
	return errors.As(err, &api) && !api.HTML && (api.StatusCode == http.StatusUnauthorized || api.StatusCode == http.StatusForbidden)
}

func hasStatus(err error, code int) bool {
	var api *APIError
	return errors.As(err, &api) && api.StatusCode == code
}

// ActionError is an action that ended in StatusError.
type ActionError struct {
	ActionID string
	// Details is the reason that the server gives.
	Details string
}

func (e *ActionError) Error() string {
	if e.Details == "" {
		return fmt.Sprintf("action %s ended in error; the server gives no reason", e.ActionID)
	}
	return fmt.Sprintf("action %s ended in error: %s", e.ActionID, e.Details)
}

// UnknownOutcomeError is a request that was sent, must not be repeated blindly, and has no usable answer: it may or may
// not have acted.
type UnknownOutcomeError struct {
	// Err is what happened to the request.
	Err error
	// TimedOut says that the server may still be at it.
	TimedOut bool
}

func (e *UnknownOutcomeError) Error() string {
	return e.Err.Error() + "; the request was sent, so it may have acted"
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }
