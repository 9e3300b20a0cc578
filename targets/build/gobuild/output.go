package gobuild

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/cedana/cedana-e2e/targets/console"
)

var packageLine = regexp.MustCompile(`^[\w./~+-]+$`)

// output sorts what `go build -v` says into packages that are done, downloads, and problems.
type output struct {
	mu        sync.Mutex
	rest      []byte
	packages  int
	downloads int
	last      string
	other     []string
	// begins may be nil.
	begins func(pkg string)
}

func (c *output) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, b...)
	for {
		line, rest, ok := bytes.Cut(c.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		c.rest = rest
		c.line(string(line))
	}
}

func (c *output) line(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		c.downloads++
		c.last = strings.TrimPrefix(line, "go: ")
	case packageLine.MatchString(line):
		c.packages++
		c.last = line
		if c.begins != nil {
			c.begins(line)
		}
	default:
		c.other = append(c.other, line)
	}
}

// linking is how many times as long as the linker's the compiler's work is: 7 for the node's programs and for the targets, on two cores.
const linking = 7

// state is how far the command has come, of total packages if that is known.
func (c *output) state(total int) console.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := console.State{Total: total, After: total / linking, Unit: "packages", Each: packageTime(), Detail: "reading packages"}
	switch {
	case c.packages > 0:
		s.Done, s.Detail = c.packages-1, c.last // the last one has only begun
		if total == 0 {
			s.Detail = fmt.Sprintf("%d packages, now %s", c.packages, c.last)
		}
	case c.downloads > 0:
		s.Detail = fmt.Sprintf("%d modules, %s", c.downloads, c.last)
	}
	return s
}

// problems is what the compiler complained about, the last 60 lines of it.
func (c *output) problems() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := append(slices.Clone(c.other), string(c.rest))
	if len(lines) > 60 {
		lines = lines[len(lines)-60:]
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
