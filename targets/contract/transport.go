package contract

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
)

// mostKept is how much of a body is kept for the check, in bytes; a longer one is not checked.
const mostKept = 8 << 20

// Transport checks the exchanges of the API that go through it. Requests elsewhere, such as transfers of files, are
// left alone. A nil ledger gives next back.
func (l *Ledger) Transport(next http.RoundTripper) http.RoundTripper {
	if l == nil {
		return next
	}
	return &transport{next, l}
}

type transport struct {
	next   http.RoundTripper
	ledger *Ledger
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if version, _ := split(request.URL.Path); version == "" {
		return t.next.RoundTrip(request)
	}
	e := &exchange{method: request.Method, url: request.URL, requestType: request.Header.Get("Content-Type")}
	e.request, e.known = sent(request)
	response, err := t.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	e.status, e.responseType = response.StatusCode, response.Header.Get("Content-Type")
	response.Body = &copied{
		ReadCloser: response.Body, ended: response.Body == http.NoBody,
		closed: func(content []byte, whole bool) {
			e.response, e.whole = content, whole
			t.ledger.add(e)
		},
	}
	return response, nil
}

// sent is a request's body, and whether it is known: one that cannot be had twice is the server's alone.
func sent(request *http.Request) (content []byte, known bool) {
	if request.Body == nil || request.Body == http.NoBody {
		return nil, true
	}
	if request.GetBody == nil || request.ContentLength > mostKept {
		return nil, false
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, false
	}
	defer body.Close()
	content, err = io.ReadAll(io.LimitReader(body, mostKept))
	return content, err == nil
}

// CloseIdleConnections closes those of the transport below.
func (t *transport) CloseIdleConnections() {
	if closer, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// copied keeps what is read through it, and tells it when it is closed, with whether it was everything.
type copied struct {
	io.ReadCloser
	kept   bytes.Buffer
	cut    bool
	ended  bool
	once   sync.Once
	closed func(content []byte, whole bool)
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.cut = c.cut || c.kept.Len()+n > mostKept
	if !c.cut {
		c.kept.Write(p[:n])
	}
	c.ended = c.ended || errors.Is(err, io.EOF)
	return n, err
}

func (c *copied) Close() error {
	err := c.ReadCloser.Close()
	c.once.Do(func() { c.closed(c.kept.Bytes(), c.ended && !c.cut) })
	return err
}
