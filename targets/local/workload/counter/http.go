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
//	GET /count              the count, in digits
//	GET /healthz            200 "ok", or 503 with what went wrong
//	GET /write?path=&data=  writes a file, and makes its directories
//	GET /read?path=         a file's content; 404 when there is none
//	GET /remove?path=       removes a file or a directory; 404 when there is none
//	GET /arm?after=         sets the timers that fire once, of kind "timers"
//	GET /grow?mib=          takes so much more memory, and keeps it
//	GET /exit?code=&message=  ends the process with that code; the message goes to /dev/termination-log first
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
	mux.HandleFunc("/count", func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		_, _ = fmt.Fprint(w, n.count)
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
	mux.HandleFunc("/arm", func(w http.ResponseWriter, r *http.Request) {
		after, err := time.ParseDuration(r.FormValue("after"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, nil, n.arm(after))
	})
	mux.HandleFunc("/remove", func(w http.ResponseWriter, r *http.Request) {
		_, err := os.Lstat(r.FormValue("path"))
		if err == nil {
			err = os.RemoveAll(r.FormValue("path"))
		}
		answer(w, nil, err)
	})
	mux.HandleFunc("/grow", func(w http.ResponseWriter, r *http.Request) {
		mib, err := strconv.ParseUint(r.FormValue("mib"), 10, 16)
		if err != nil {
			http.Error(w, fmt.Sprintf("mib %q is not a number of MiB up to 65535", r.FormValue("mib")), http.StatusBadRequest)
			return
		}
		n.grow(int(mib))
		answer(w, []byte("grown\n"), nil)
	})
	mux.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.ParseUint(r.FormValue("code"), 10, 8)
		if err != nil {
			http.Error(w, fmt.Sprintf("code %q is not a number from 0 to 255", r.FormValue("code")), http.StatusBadRequest)
			return
		}
		if message := r.FormValue("message"); message != "" {
			// As kubelet has made it: another in its place would not be the one that it reads.
			if err := writeExisting(messageFile, message); err != nil {
				answer(w, nil, err)
				return
			}
		}
		answer(w, []byte("exit\n"), nil)
		// After the answer is on its way.
		time.AfterFunc(interval, func() { os.Exit(int(code)) })
	})
	return mux
}

// messageFile is where a container leaves its last words, by default.
const messageFile = "/dev/termination-log"

func writeExisting(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}

// arm sets the timers that fire once.
func (n *counter) arm(after time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.probes {
		if w, ok := p.(*watched); ok {
			if t, ok := w.kind.(*timers); ok {
				return t.arm(after)
			}
		}
	}
	return errors.New("COUNTER_KINDS has no timers")
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
