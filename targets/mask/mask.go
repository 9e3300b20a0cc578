// Package mask keeps secrets out of text that this project does not write itself: the output of other programs,
// their files, and the errors of libraries that quote what they were given.
package mask

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"strings"
	"sync"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// Mask replaces secrets by `***`, in each form in which they get about: as they are, as base64 (a Kubernetes Secret),
// and escaped for a URL.
type Mask struct {
	replacer *strings.Replacer
	longest  int
}

// New returns a mask for the secrets that are set.
func New(secrets ...settings.Secret) Mask {
	var pairs []string
	longest := 0
	for _, s := range secrets {
		if !s.Set() {
			continue
		}
		for _, form := range []string{
			s.Reveal(), base64.StdEncoding.EncodeToString([]byte(s.Reveal())), url.QueryEscape(s.Reveal()),
		} {
			pairs = append(pairs, form, s.String())
			longest = max(longest, len(form))
		}
	}
	return Mask{strings.NewReplacer(pairs...), longest}
}

// Text returns s with the secrets replaced.
func (m Mask) Text(s string) string {
	if m.longest == 0 {
		return s
	}
	return m.replacer.Replace(s)
}

// Error masks an error's text and leaves its chain to errors.Is and errors.As.
func (m Mask) Error(err error) error {
	if err == nil || m.Text(err.Error()) == err.Error() {
		return err
	}
	return maskedError{m.Text(err.Error()), err}
}

type maskedError struct {
	text string
	err  error
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }

// mostHeld is how long a line may get before part of it is passed on, in bytes.
const mostHeld = 64 << 10

// Writer masks what it is given and passes it on in whole lines, so that a secret split between two writes is found
// too. Close passes on an unfinished line; it does not close what is written to.
func (m Mask) Writer(to io.Writer) io.WriteCloser { return &writer{mask: m, to: to} }

type writer struct {
	mask Mask
	to   io.Writer
	mu   sync.Mutex
	held []byte
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, p...)
	// What was held before has no end of line, so only p is looked at.
	if end := bytes.LastIndexByte(p, '\n'); end >= 0 {
		if err := w.pass(len(w.held) - len(p) + end + 1); err != nil {
			return 0, err
		}
	}
	if len(w.held) > mostHeld {
		// Masked first: what is cut off afterwards has no whole secret in it, and what is kept could still become one.
		w.held = []byte(w.mask.Text(string(w.held)))
		if err := w.pass(max(0, len(w.held)-w.mask.longest)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pass(len(w.held))
}

func (w *writer) pass(n int) error {
	if n == 0 {
		return nil
	}
	_, err := io.WriteString(w.to, w.mask.Text(string(w.held[:n])))
	w.held = append(w.held[:0], w.held[n:]...)
	return err
}
