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
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/measured"
	"github.com/cedana/cedana-e2e/targets/report"
)

// Report is what is known of a run: its record, while it is made.
type Report struct {
	report.Run
	Subject Subject
	URL     string
	// NoCluster is why there was no cluster, if so.
	NoCluster string
	byName    map[string]*recorded
	// problem is the first event that could not be understood.
	problem error
}

// recorded is a test, or a part of one, whose events come in.
type recorded struct {
	*report.Test
	logged bool
	// paused is a parallel test that waits for its turn.
	paused bool
}

// measurements are the tables that the tests have left in a directory.
func measurements(dir string) ([]report.Measurement, error) {
	const ending = ".txt"
	files := os.DirFS(dir)
	names, err := fs.Glob(files, "*"+ending)
	if err != nil {
		return nil, fmt.Errorf("look for what was measured: %w", err)
	}
	var all []report.Measurement
	for _, name := range names {
		table, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read what was measured: %w", err)
		}
		one := report.Measurement{Name: strings.TrimSuffix(name, ending), Table: string(table)}
		if one.Times, err = overAnAxis(files, one.Name+".json"); err != nil {
			return nil, fmt.Errorf("read what was measured: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

// overAnAxis are the figures of a table, nil where they are over no axis.
func overAnAxis(files fs.FS, name string) (*measured.Times, error) {
	text, err := fs.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var times measured.Times
	if err := json.Unmarshal(text, &times); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if times.X == "" {
		return nil, nil
	}
	return &times, nil
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

// event is a line of test2json: https://pkg.go.dev/cmd/test2json.
type event struct {
	Time       time.Time
	Action     string
	Test       string
	Elapsed    float64
	Output     string
	Key, Value string
}

// add takes one event. What a part writes is its test's too.
func (r *Report) add(e event) {
	if e.Test == "" {
		return
	}
	test := r.test(e.Test)
	switch e.Action {
	case "output":
		top, _, isPart := strings.Cut(e.Test, "/")
		test.heard(e.Output)
		if isPart {
			r.test(top).heard(e.Output)
		}
	case "attr":
		r.problem = errors.Join(r.problem, test.Hear(e.Key, e.Value))
	case "run", "cont":
		test.Start, test.paused = e.Time, false
	case "pause":
		test.paused = true
	case "pass", "fail", "skip":
		test.Outcome = map[string]report.Outcome{"pass": report.Passed, "fail": report.Failed, "skip": report.Skipped}[e.Action]
		test.Took = time.Duration(e.Elapsed * float64(time.Second))
	}
}

// test is the one of that name, a new one when it is not known yet.
func (r *Report) test(name string) *recorded {
	if known := r.byName[name]; known != nil {
		return known
	}
	if r.byName == nil {
		r.byName = map[string]*recorded{}
	}
	t := &recorded{Test: &report.Test{Name: name, Outcome: report.Interrupted}}
	r.byName[name] = t
	top, part, isPart := strings.Cut(name, "/")
	if isPart {
		whole := r.test(top)
		t.Name = part
		whole.Parts = append(whole.Parts, t.Test)
	} else {
		r.Tests = append(r.Tests, t.Test)
	}
	return t
}

// logLine is a line that a test logged, by the place that the testing package puts before it.
var logLine = regexp.MustCompile(`^\s*\S+\.go:\d+: (.+)`)

func (t *recorded) heard(output string) {
	line := strings.TrimSpace(output)
	if strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
		return
	}
	t.Output += output
	if found := logLine.FindStringSubmatch(output); found != nil {
		if !t.logged {
			t.Reason, t.logged = strings.TrimSpace(found[1]), true
		}
		return
	}
	if !t.logged && line != "" {
		t.Reason = line
	}
}

func names(list []*report.Test) []string {
	var out []string
	for _, t := range list {
		out = append(out, t.Name)
	}
	return out
}

// progress is the run in one line while it goes on.
func (r *Report) progress() string {
	var running []string
	waiting := 0
	for _, t := range r.Tests {
		switch {
		case t.Outcome != report.Interrupted:
		case r.test(t.Name).paused:
			waiting++
		default:
			running = append(running, t.Name)
		}
	}
	return fmt.Sprintf("%d passed, %d failed; running %s; %d waiting",
		len(r.Of(report.Passed)), len(r.Of(report.Failed)), strings.Join(running, ", "), waiting)
}

const (
	// followEvery is how often the file of events is looked at, saveEvery how often the record is saved meanwhile.
	followEvery = 200 * time.Millisecond
	saveEvery   = 5 * time.Second
)

// follow reads events while they are written and tells the step which tests are running. The function that it returns
// reads the rest and stops; only after it the report may be used by others.
//
// Every saveEvery the record is saved, so that a run that is killed leaves one.
func follow(path string, to *Report, step *console.Step, m mask.Mask, save func() error) (stop func() error) {
	done := make(chan struct{})
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		var source eventFile
		defer source.close()
		saved := time.Now()
		for last := false; ; {
			err = source.read(path, func(e event) {
				e.Output, e.Value = m.Text(e.Output), m.Text(e.Value)
				to.add(e)
			})
			if err = errors.Join(err, to.problem); err != nil {
				return
			}
			step.Set("%s", to.progress())
			if last {
				return
			}
			if time.Since(saved) > saveEvery {
				if err = save(); err != nil {
					return
				}
				saved = time.Now()
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
