package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A URL that is handed out for a file carries the right to it: for one method and one path, until it expires. Clients
// upload and download by plain HTTP, as they do at an object store, and must not show their token there.

const (
	queryExpires   = "expires"   // seconds since 1970
	querySignature = "signature" // hex
)

// signingKey is the same after a restart, so that what was handed out before still works.
func signingKey(token string) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("urls of files"))
	return mac.Sum(nil)
}

// sign is the query of a file's URL.
func (s *Server) sign(method, path string) url.Values {
	expires := strconv.FormatInt(s.now().Add(s.cfg.URLLife).Unix(), 10)
	return url.Values{queryExpires: {expires}, querySignature: {s.signature(method, path, expires)}}
}

// signature is over everything that a URL allows. Neither a method nor a number has a line break in it.
func (s *Server) signature(method, path, expires string) string {
	mac := hmac.New(sha256.New, s.urlKey)
	mac.Write([]byte(strings.Join([]string{method, expires, path}, "\n")))
	return hex.EncodeToString(mac.Sum(nil))
}

// signed reports whether a request has a URL that was handed out for it and has not expired.
func (s *Server) signed(r *http.Request) bool {
	query := r.URL.Query()
	expires := query.Get(queryExpires)
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || !strings.HasPrefix(r.URL.Path, blobPrefix) || s.now().After(time.Unix(seconds, 0)) {
		return false
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return hmac.Equal([]byte(query.Get(querySignature)), []byte(s.signature(method, r.URL.Path, expires)))
}
