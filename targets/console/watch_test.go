package console

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnEstimateComesFromWhatIsKnown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before   duration
		state    State
		elapsed  time.Duration
		known    bool
		fraction float64
		left     time.Duration
	}{
		"nothing is known":                       {duration{}, State{}, time.Minute, false, 0, 0},
		"a number of units":                      {duration{}, State{Total: 100}, 0, true, 0, 0},
		"a number and the usual time":            {duration{}, State{Total: 100, Each: time.Second}, 0, true, 0, 100 * time.Second},
		"what was learned is worth more":         {duration{200, 100}, State{Total: 100, Each: time.Second}, 0, true, 0, 200 * time.Second},
		"fewer units than the last time":         {duration{200, 100}, State{Total: 10}, 0, true, 0, 20 * time.Second},
		"half of it, as fast as expected":        {duration{100, 100}, State{Done: 50, Total: 100}, 50 * time.Second, true, 0.5, 50 * time.Second},
		"half of it, half as fast as expected":   {duration{100, 100}, State{Done: 50, Total: 100}, 100 * time.Second, true, 0.5, 75 * time.Second},
		"slower than elsewhere":                  {duration{}, State{Done: 50, Total: 100, Each: time.Second}, 200 * time.Second, true, 0.5, 200 * time.Second},
		"nothing was expected":                   {duration{}, State{Done: 50, Total: 100}, 100 * time.Second, true, 0.5, 100 * time.Second},
		"linking comes after half of it":         {duration{}, State{Done: 50, Total: 90, After: 10, Each: time.Second}, 50 * time.Second, true, 0.5, 50 * time.Second},
		"all of it, and linking":                 {duration{}, State{Done: 90, Total: 90, After: 10}, 90 * time.Second, true, 0.9, 5 * time.Second},
		"all of it":                              {duration{}, State{Done: 101, Total: 100}, time.Minute, true, 1, 0},
		"no units, but the time of the last one": {duration{Seconds: 40}, State{}, 10 * time.Second, true, 0.25, 30 * time.Second},
		"longer than the last one":               {duration{Seconds: 40}, State{}, 50 * time.Second, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := test.before.estimate(test.state, test.elapsed)
			require.Equal(t, test.known, e.Known)
			require.InDelta(t, test.fraction, e.Fraction, 0.001)
			require.InDelta(t, test.left.Seconds(), e.Left.Seconds(), 0.1)
		})
	}
}

func TestWhatTookLongIsKnownTheNextTime(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "home", "durations.json")
	c := New(&bytes.Buffer{}, &bytes.Buffer{})
	c.Learn(file)
	c.Took("quick", time.Second)
	c.Took("slow", time.Minute)
	next := New(&bytes.Buffer{}, &bytes.Buffer{})
	next.Learn(file)
	require.Equal(t, time.Minute, next.Last("slow"))
	require.Zero(t, next.Last("quick"), "what takes no time was there already, and says nothing about making it")
}

func TestAFailureTeachesNothing(t *testing.T) {
	t.Parallel()
	c := New(&bytes.Buffer{}, &bytes.Buffer{})
	c.Learn(filepath.Join(t.TempDir(), "durations.json"))
	w := &watched{state: func() State { return State{} }, start: time.Now().Add(-time.Minute)}
	c.ended("broken", w, errors.New("broken"))
	require.Zero(t, c.Last("broken"))
	c.ended("done", w, nil)
	require.InDelta(t, 60, c.Last("done").Seconds(), 1)
}

func TestOffATerminalALineSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	progress := &lockedBuffer{}
	c := New(progress, &bytes.Buffer{})
	c.beat = 10 * time.Millisecond
	end := c.Watch("compile all", func() State {
		return State{Done: 25, Total: 100, Unit: "packages", Each: time.Second, Detail: "net/http"}
	})
	require.Eventually(t, func() bool { return strings.Count(progress.String(), "\n") > 1 }, 5*time.Second, time.Millisecond)
	end(nil)
	require.Regexp(t, `(?m)^… compile all \(0s\): 25 % of 100 packages, about \w+ to go: net/http$`, progress.String())
	require.NotContains(t, progress.String(), "\x1b")
}

func TestOnATerminalEachPieceOfWorkHasItsLine(t *testing.T) {
	t.Parallel()
	terminal := &lockedBuffer{}
	c := New(terminal, &bytes.Buffer{})
	c.terminal = true
	one := c.Watch("compile all", func() State { return State{Done: 50, Total: 100, Unit: "packages", Detail: "net/http"} })
	other := c.Watch("download", func() State { return State{Detail: "a package"} })
	require.Eventually(t, func() bool {
		_, drawn, ok := strings.Cut(terminal.String(), "=>")
		return ok && strings.Contains(drawn, "50 % of 100 packages") && strings.Contains(terminal.String(), "a package")
	}, 10*time.Second, 10*time.Millisecond)
	c.Ok("said in between")
	one(nil)
	other(nil)
	c.Ok("said after it")
	text := terminal.String()
	require.Contains(t, text, "✓ said in between\n")
	require.True(t, strings.HasSuffix(text, "✓ said after it\n"), "%q", text)
	require.Nil(t, c.bars)
}

func TestWhatTakesNoTimeIsNotDrawn(t *testing.T) {
	t.Parallel()
	terminal := &lockedBuffer{}
	c := New(terminal, &bytes.Buffer{})
	c.terminal = true
	c.Watch("look", func() State { return State{} })(nil)
	require.Empty(t, terminal.String())
}

func TestAnEstimateIsNoMoreExactThanItIs(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		9400 * time.Millisecond: "9s", 44 * time.Second: "40s", 61 * time.Second: "1m", 95 * time.Second: "1m40s", 500 * time.Second: "8m",
	} {
		require.Equal(t, want, rounded(d))
	}
}

// lockedBuffer is a terminal, or what is none: it is written to and looked at by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
