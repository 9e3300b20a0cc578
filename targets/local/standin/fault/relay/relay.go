// Package relay takes the name of the fault from the propagator, which alone is told it, to the other programs: in a
// header of the propagator's answers, and from the manager to the runtime in an annotation of the restored pod. So
// another fault costs a restart of the propagator and of nothing else.
package relay

import (
	"net/http"
	"sync/atomic"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
)

const (
	// Header has the fault's name in an answer of the propagator; none where nothing is broken.
	Header = "X-E2e-Fault"
	// Annotation has it on a restored pod. containerd passes annotations of this prefix on to the runtime.
	Annotation = "cedana.ai/fault"
)

// Announce is next with the header in its answers.
func Announce(name fault.Name, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(Header, string(name))
		next.ServeHTTP(w, r)
	})
}

// Receiver is a transport that notes the fault from the answers which pass through it.
type Receiver struct {
	// Next does the requests; nil means http.DefaultTransport.
	Next http.RoundTripper

	last atomic.Pointer[fault.Name]
}

// RoundTrip implements http.RoundTripper.
func (r *Receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	next := r.Next
	if next == nil {
		next = http.DefaultTransport
	}
	response, err := next.RoundTrip(request)
	if err == nil {
		name := fault.Name(response.Header.Get(Header))
		r.last.Store(&name)
	}
	return response, err
}

// Fault is that of the last answer; the empty name where nothing is broken, or nothing has been answered yet.
func (r *Receiver) Fault() fault.Name {
	if name := r.last.Load(); name != nil {
		return *name
	}
	return ""
}
