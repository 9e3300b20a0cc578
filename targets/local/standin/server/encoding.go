package server

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// decodeBody makes a request's body plain. The limit on what a handler reads is thus one on what comes out of the
// compression. Published clients send gzip, and plain only after a 415.
func decodeBody(r *http.Request) error {
	switch encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ","))); encoding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
		r.Body, r.ContentLength = &gunzip{compressed: r.Body}, -1
		r.Header.Del("Content-Encoding")
		return nil
	default:
		return &httpError{http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Encoding %.64q is not supported: want gzip, or none", encoding)}
	}
}

// gunzip reads the header with the first byte that is asked for, so that a request which is refused for something else
// is not read. No body at all is an empty one.
type gunzip struct {
	compressed io.ReadCloser
	plain      *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.plain == nil {
		plain, err := gzip.NewReader(g.compressed)
		if err != nil {
			return 0, malformed(err)
		}
		g.plain = plain
	}
	n, err := g.plain.Read(p)
	return n, malformed(err)
}

func (g *gunzip) Close() error { return g.compressed.Close() }

// malformed makes what is wrong with the compression the caller's fault; io.EOF and a broken connection stay what they
// are.
func malformed(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &corrupt) {
		return badRequest("bad request body: %v", err)
	}
	return err
}
