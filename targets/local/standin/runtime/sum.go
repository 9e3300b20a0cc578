package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// besideSum is a SHA-256 that is reckoned beside the unpacking: without the processor's help it takes longer than the
// transfer, and a pod waits.
type besideSum struct {
	*io.PipeWriter
	done chan string
}

func newBesideSum() besideSum {
	r, w := io.Pipe()
	s := besideSum{w, make(chan string, 1)}
	go func() {
		sum := sha256.New()
		// A pipe has no error of its own, and a hash takes everything.
		_, _ = io.CopyBuffer(struct{ io.Writer }{sum}, r, make([]byte, 512<<10))
		s.done <- hex.EncodeToString(sum.Sum(nil))
	}()
	return s
}

// finish gives the sum, in hex, of all that was written.
func (s besideSum) finish() string {
	_ = s.Close() // never fails
	return <-s.done
}
