package suite

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/contract"
)

// Report is what is known of a run.
type Report struct {
	Subject Subject
	URL     string
	// NoCluster is why there was no cluster, if so.
	NoCluster string
	Phases    []Phase
	// Tests are those at the top, in the order in which they began.
	Tests []*Test
	// NotAskedFor says in one line how many tests other groups have; empty when E2E_RUN chose the tests.
	NotAskedFor string
	// Measured are the tables of what the tests have measured.
	Measured []Measurement
	// Contract is what was checked against an OpenAPI document, nil without one.
	Contract *contract.Report
	byName   map[string]*Test
}

// Measurement is a table of times that a test has taken.
type Measurement struct{ Name, Table string }

// measurements are the tables that the tests have left in a directory.
func measurements(dir string) ([]Measurement, error) {
	const ending = ".txt"
	files := os.DirFS(dir)
	names, err := fs.Glob(files, "*"+ending)
	if err != nil {
		return nil, fmt.Errorf("look for what was measured: %w", err)
	}
	var all []Measurement
	for _, name := range names {
		table, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read what was measured: %w", err)
		}
		all = append(all, Measurement{Name: strings.TrimSuffix(name, ending), Table: string(table)})
	}
	return all, nil
}

// notAskedFor is the line that the tests have left about other groups, empty when there is none.
func notAskedFor(dir string) (string, error) {
	line, err := os.ReadFile(filepath.Join(dir, artifacts.OtherGroupsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read what other groups have: %w", err)
	}
	return strings.TrimSpace(string(line)), nil
}

// Test is one test's result.
type Test struct {
	Name    string
	Outcome Outcome
	Took    time.Duration
	// Reason is the first line that the test logged, or the last that it wrote if it logged none. Tests here log little
	// before they fail or skip.
	Reason string
	// Output is everything that the test and its parts wrote, without what the testing package adds.
	Output string
	logged bool
	// paused is a parallel test that waits for its turn.
	paused bool
}

// Outcome of a test.
type Outcome string

const (
	passed      Outcome = "passed"
	failed      Outcome = "failed"
	skipped     Outcome = "skipped"
	interrupted Outcome = "not finished"
)

// event is a line of test2json: https://pkg.go.dev/cmd/test2json.
type event struct {
	Action  string
	Test    string
	Elapsed float64
	Output  string
}

// add takes one event. Subtests count with the test they belong to.
func (r *Report) add(e event) {
	if e.Test == "" {
		return
	}
	top, _, isPart := strings.Cut(e.Test, "/")
	if r.byName == nil {
		r.byName = map[string]*Test{}
	}
	t := r.byName[top]
	if t == nil {
		t = &Test{Name: top, Outcome: interrupted}
		r.byName[top] = t
		r.Tests = append(r.Tests, t)
	}
	if e.Action == "output" {
		if !strings.HasPrefix(strings.TrimSpace(e.Output), "=== ") && !strings.HasPrefix(strings.TrimSpace(e.Output), "--- ") {
			t.Output += e.Output
		}
		t.heard(e.Output)
		return
	}
	if isPart {
		return
	}
	switch e.Action {
	case "pause":
		t.paused = true
		return
	case "cont":
		t.paused = false
		return
	case "pass":
		t.Outcome = passed
	case "fail":
		t.Outcome = failed
	case "skip":
		t.Outcome = skipped
	default:
		return
	}
	t.Took = time.Duration(e.Elapsed * float64(time.Second))
}

// logLine is a line that a test logged, by the place that the testing package puts before it.
var logLine = regexp.MustCompile(`^\s*\S+\.go:\d+: (.+)`)

func (t *Test) heard(output string) {
	if found := logLine.FindStringSubmatch(output); found != nil {
		if !t.logged {
			t.Reason, t.logged = strings.TrimSpace(found[1]), true
		}
		return
	}
	line := strings.TrimSpace(output)
	if !t.logged && line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
		t.Reason = line
	}
}

func (r *Report) names(o Outcome) []string {
	var out []string
	for _, t := range r.Tests {
		if t.Outcome == o {
			out = append(out, t.Name)
		}
	}
	return out
}

// Counts is the run in one line, such as "7 passed, 0 failed, 3 skipped".
func (r *Report) Counts() string {
	text := fmt.Sprintf("%d passed, %d failed, %d skipped", len(r.names(passed)), len(r.names(failed)), len(r.names(skipped)))
	if n := len(r.names(interrupted)); n > 0 {
		text += fmt.Sprintf(", %d not finished", n)
	}
	return text
}

// progress is the run in one line while it goes on.
func (r *Report) progress() string {
	var running []string
	waiting := 0
	for _, t := range r.Tests {
		switch {
		case t.Outcome != interrupted:
		case t.paused:
			waiting++
		default:
			running = append(running, t.Name)
		}
	}
	return fmt.Sprintf("%d passed, %d failed; running %s; %d waiting",
		len(r.names(passed)), len(r.names(failed)), strings.Join(running, ", "), waiting)
}

// followEvery is how often the file of events is looked at.
const followEvery = 200 * time.Millisecond

// follow reads events while they are written and tells the step which tests are running. The function that it returns
// reads the rest and stops; only after it the report may be used by others.
func follow(path string, report *Report, step *console.Step) (stop func() error) {
	done := make(chan struct{})
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		var source eventFile
		defer source.close()
		for last := false; ; {
			if err = source.read(path, report.add); err != nil {
				return
			}
			step.Set("%s", report.progress())
			if last {
				return
			}
			select {
			case <-done:
				last = true
			case <-time.After(followEvery):
			}
		}
	})
	return func() error {
		close(done)
		wg.Wait()
		return err
	}
}

// eventFile reads a file that another process is still writing.
type eventFile struct {
	file *os.File
	in   *bufio.Reader
	rest []byte
}

// read hands on all whole lines that are there now. A file that is not there yet has none.
func (f *eventFile) read(path string, add func(event)) error {
	if f.file == nil {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
		f.file, f.in = file, bufio.NewReader(file)
	}
	for {
		line, err := f.in.ReadBytes('\n')
		f.rest = append(f.rest, line...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
		var e event
		if err := json.Unmarshal(f.rest, &e); err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
		f.rest = nil
		add(e)
	}
}

func (f *eventFile) close() {
	if f.file != nil {
		f.file.Close()
	}
}
