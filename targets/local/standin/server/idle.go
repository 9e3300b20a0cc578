package server

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// withoutIdleBodies ends the connection of a request whose body brings nothing for so long. A limit for a whole request
// (http.Server.ReadTimeout) would cut off the upload of a large archive.
func withoutIdleBodies(idle time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			body := &watchedBody{ReadCloser: r.Body, connection: http.NewResponseController(w), idle: idle}
			body.within(idle) // also for a handler that reads nothing: the server then reads the rest
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

type watchedBody struct {
	io.ReadCloser
	connection *http.ResponseController
	idle       time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.within(b.idle)
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		// What the server reads from here on is the next request, or the connection's end while a poll is held.
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}

// within bounds the next read. A connection without deadlines, as of a test, has none.
func (b *watchedBody) within(d time.Duration) {
	_ = b.connection.SetReadDeadline(time.Now().Add(d))
}
