package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// mux has the counter's paths:
//
//	GET /state              report.State as JSON
//	GET /healthz            200 "ok", or 503 with what went wrong
//	GET /write?path=&data=  writes a file, and makes its directories
//	GET /read?path=         a file's content; 404 when there is none
//	GET /remove?path=       removes a file or a directory; 404 when there is none
//	GET /exit?code=         ends the process with that code
//
// All are GET: they are called through proxies that only forward what they know.
func (n *counter) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/state", func(w http.ResponseWriter, _ *http.Request) {
		s, err := n.state()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, s)
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := n.health(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		path := r.FormValue("path")
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(r.FormValue("data")), 0o644)
		}
		answer(w, nil, err)
	})
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		content, err := os.ReadFile(r.FormValue("path"))
		answer(w, content, err)
	})
	mux.HandleFunc("/remove", func(w http.ResponseWriter, r *http.Request) {
		_, err := os.Lstat(r.FormValue("path"))
		if err == nil {
			err = os.RemoveAll(r.FormValue("path"))
		}
		answer(w, nil, err)
	})
	mux.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.ParseUint(r.FormValue("code"), 10, 8)
		if err != nil {
			http.Error(w, fmt.Sprintf("code %q is not a number from 0 to 255", r.FormValue("code")), http.StatusBadRequest)
			return
		}
		answer(w, []byte("exit\n"), nil)
		// After the answer is on its way.
		time.AfterFunc(interval, func() { os.Exit(int(code)) })
	})
	return mux
}

func answer(w http.ResponseWriter, content []byte, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(content)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v)
}
