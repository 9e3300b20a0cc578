package server

import (
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/standin/archives"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

const blobPrefix = "/internal/v1/blobs/"

// fileURL answers with the address to get or put a file at: this server itself, by the name it was called by. The
// address works by itself, for a while.
func (s *Server) fileURL(w http.ResponseWriter, r *http.Request) error {
	path := r.PathValue("path")
	if path == "." || !fs.ValidPath(path) {
		return badRequest("Invalid path %.200q: %v", path, archives.ErrBadPath)
	}
	u := url.URL{Scheme: "http", Host: r.Host, Path: blobPrefix + path, RawQuery: s.sign(r.Method, blobPrefix+path).Encode()}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return writeText(w, u.String())
}

func (s *Server) listFiles(w http.ResponseWriter, r *http.Request) error {
	dir := strings.Trim(r.PathValue("path"), "/")
	entries, err := s.archives.List(dir)
	if err != nil {
		return archiveError(err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Path)
	}
	return writeJSON(w, names)
}

func (s *Server) getBlob(w http.ResponseWriter, r *http.Request) error {
	path := r.PathValue("path")
	entry, err := s.archives.Stat(path)
	if err != nil {
		return archiveError(err)
	}
	file, err := s.archives.Open(path)
	if err != nil {
		return archiveError(err)
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set(work.HeaderSHA256, entry.SHA256)
	http.ServeContent(w, r, "", entry.Modified, file)
	return nil
}

func (s *Server) putBlob(w http.ResponseWriter, r *http.Request) error {
	body := http.MaxBytesReader(w, r.Body, s.cfg.BlobLimit)
	if r.ContentLength > s.cfg.BlobLimit {
		return &http.MaxBytesError{Limit: s.cfg.BlobLimit} // before it is sent
	}
	entry, err := s.archives.Put(r.Context(), r.PathValue("path"), strings.ToLower(r.Header.Get(work.HeaderSHA256)), body)
	if err != nil {
		return archiveError(err)
	}
	w.Header().Set(work.HeaderSHA256, entry.SHA256)
	return writeText(w, strconv.FormatInt(entry.Size, 10))
}

func archiveError(err error) error {
	switch {
	case errors.Is(err, archives.ErrBadPath), errors.Is(err, archives.ErrSum):
		return badRequest("%v", err)
	case errors.Is(err, fs.ErrNotExist):
		return notFound("File not found: %v", err)
	default:
		return err
	}
}

// discover knows no other service: the stand-in's parts need none.
func (s *Server) discover(_ http.ResponseWriter, r *http.Request) error {
	return notFound("no service of name %.64q here", r.PathValue("name"))
}

// secrets has none: images of root file systems are not pushed anywhere here.
func (s *Server) secrets(http.ResponseWriter, *http.Request) error {
	return notFound("no image secret is set here")
}
