package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
)

// answer is what trying an engine said.
type answer struct {
	OK                  bool      `json:"ok"`
	Problems            []string  `json:"problems,omitempty"`
	MissingCapabilities []string  `json:"missingCapabilities,omitempty"`
	Engine              string    `json:"engine"`
	At                  time.Time `json:"at"`
}

// refusalLasts is for how long a "no" is believed: whoever mends an engine need not know about the file. A "yes" is
// believed until the engine, its version or the kernel changes.
const refusalLasts = time.Hour

func (a answer) err() error {
	if a.OK {
		return nil
	}
	return fmt.Errorf("docker engine %s cannot run cluster nodes: %s", a.Engine, strings.Join(a.Problems, "; "))
}

// answerKey names what the answer depends on.
func answerKey(e *Engine) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{e.Host, e.ID, e.Version, e.Kernel, probeSource}, "\x00")))
	return hex.EncodeToString(sum[:12])
}

func answerFile(o Options, e *Engine) string { return o.dir("answers", answerKey(e)+".json") }

// readAnswer returns the remembered answer. A file that cannot be read is as good as none: the engine is tried again.
func readAnswer(o Options, e *Engine) (answer, bool) {
	var a answer
	data, err := os.ReadFile(answerFile(o, e))
	if err != nil || json.Unmarshal(data, &a) != nil {
		return answer{}, false
	}
	if !a.OK && time.Since(a.At) > refusalLasts {
		return answer{}, false
	}
	return a, true
}

func writeAnswer(o Options, e *Engine, a answer) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encode answer of docker engine %s: %w", e.Host, err)
	}
	if err := atomicfile.Write(answerFile(o, e), data, 0o644); err != nil {
		return fmt.Errorf("remember answer of docker engine %s: %w", e.Host, err)
	}
	return nil
}

// tryOnce tries the engine unless the answer is known. The error is the answer's or why there is none.
func tryOnce(ctx context.Context, o Options, e *Engine) (answer, error) {
	if a, ok := readAnswer(o, e); ok {
		return a, a.err()
	}
	return tryNow(ctx, o, e)
}

func tryNow(ctx context.Context, o Options, e *Engine) (answer, error) {
	o.Progress.Step("trying whether docker engine %s (%s) can run cluster nodes", e.Host, e.Version)
	a, err := try(ctx, o, e)
	if err != nil {
		return answer{}, fmt.Errorf("try docker engine %s: %w", e.Host, err)
	}
	if err := writeAnswer(o, e, a); err != nil {
		return a, errors.Join(a.err(), err)
	}
	return a, a.err()
}
