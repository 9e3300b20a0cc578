// Package sensitivity breaks the stand-in on purpose, one fault at a time, and sees whether the suite notices and
// says what is wrong. A suite that stays green whatever breaks tests nothing.
package sensitivity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// Program runs parts of the suite; it is a *suite.Program.
type Program interface {
	Run(ctx context.Context, pick suite.Pick) (*suite.Report, error)
}

// Options are what Run needs beside the settings.
type Options struct {
	Program Program
	// Switch starts the propagator with a fault, or with none.
	Switch func(ctx context.Context, name fault.Name) error
}

const (
	// pickLimit bounds the tests of one row, controlLimit those of the control, which are all rows' together.
	pickLimit    = 2 * time.Minute
	controlLimit = 15 * time.Minute
	// backTimeout bounds the way back to a propagator that is whole. mage ends 5 s after Ctrl-C.
	backTimeout = 30 * time.Second
	// artifactsDir is where the failed tests' artifacts and the table go, below the artifacts directory.
	artifactsDir = "sensitivity"
)

// Verdict is what became of a row.
type Verdict string

const (
	// Caught means that every test failed and said what is wrong.
	Caught Verdict = "caught"
	// Missed means that a test passed.
	Missed Verdict = "MISSED"
	// Unnamed means that a test failed without saying what is wrong.
	Unnamed Verdict = "UNNAMED"
	// Broken means that the tests could not be run to their end.
	Broken Verdict = "BROKEN"
	// Green is the control row's: without a fault nothing fails.
	Green Verdict = "green"
	// Red is a control row in which tests fail, so that nothing can be said of the others.
	Red Verdict = "RED"
)

// Result is a row with its verdict.
type Result struct {
	Fault   fault.Name      `json:"fault"`
	By      fault.Component `json:"component,omitempty"`
	What    string          `json:"broken"`
	Verdict Verdict         `json:"verdict"`
	// Test is the one that noticed, or for a control those that ran.
	Test string `json:"test"`
	// Message is what it said, in one line.
	Message string  `json:"message"`
	Seconds float64 `json:"seconds"`
}

func (r Result) good() bool { return r.Verdict == Caught || r.Verdict == Green }

// Run tries each fault that the settings choose. It prints the table to the console's data and leaves copies in
// the artifacts. Its error names what was missed. Whatever happens, the propagator is whole afterwards.
func Run(ctx context.Context, con *console.Console, s *settings.Sensitivity, o Options) (err error) {
	rows, err := choose(s.Group, s.Pattern)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Artifacts, artifactsDir)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove artifacts of an earlier run: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make artifacts directory: %w", err)
	}
	defer func() {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(backTimeout))
		defer cancel()
		err = errors.Join(err, o.Switch(back, ""))
	}()
	t := trial{con: con, settings: s, options: o, dir: dir}
	results := []Result{t.control(ctx, rows)}
	for i, row := range rows {
		if ctx.Err() != nil {
			break
		}
		results = append(results, t.row(ctx, i, row))
	}
	err = publish(con, dir, results)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return errors.Join(verdict(results, dir), err)
}

// choose is the catalogue of a group of tests, or the rows of it that a pattern matches.
func choose(group settings.Group, pattern string) ([]Row, error) {
	catalogue := Catalogue
	if group == settings.Workloads {
		catalogue = Workloads
	}
	only, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("read E2E_FAULTS: %w", err)
	}
	rows := slices.DeleteFunc(slices.Clone(catalogue), func(r Row) bool { return !only.MatchString(string(r.Fault)) })
	if len(rows) == 0 {
		_, err := fault.Parse(pattern)
		return nil, fmt.Errorf("E2E_FAULTS matches none: %w", err)
	}
	return rows, nil
}

// trial is one run.
type trial struct {
	con      *console.Console
	settings *settings.Sensitivity
	options  Options
	dir      string
}

// control runs every test of the rows on a stand-in that is whole.
func (t trial) control(ctx context.Context, rows []Row) Result {
	var names []string
	for _, row := range rows {
		names = append(names, row.Tests...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	r := Result{What: "nothing: the control", Test: fmt.Sprintf("%d tests", len(names)), Message: strings.Join(names, ", ")}
	begin := time.Now()
	report, err := t.try(ctx, "without a fault", "", 0, Row{Tests: names})
	r.Seconds = time.Since(begin).Seconds()
	switch {
	case err != nil:
		r.Verdict, r.Message = Broken, oneLine(err.Error())
	case len(report.Failed()) > 0:
		bad := report.Failed()[0]
		r.Verdict, r.Test, r.Message = Red, bad.Name, said(bad, nil)
	case len(report.Skipped()) > 0:
		bad := report.Skipped()[0]
		r.Verdict, r.Test, r.Message = Red, bad.Name, "skipped: "+bad.Reason
	default:
		r.Verdict, r.Message = Green, "none of these fails: "+r.Message
	}
	return r
}

// row tries one fault.
func (t trial) row(ctx context.Context, number int, row Row) Result {
	r := Result{Fault: row.Fault, Test: strings.Join(row.noticing(), ", ")}
	for _, known := range fault.All() {
		if known.Name == row.Fault {
			r.By, r.What = known.By, known.Broken
		}
	}
	begin := time.Now()
	report, err := t.try(ctx, "with "+string(row.Fault), row.Fault, number+1, row)
	r.Seconds = time.Since(begin).Seconds()
	if err != nil {
		r.Verdict, r.Message = Broken, oneLine(err.Error())
		return r
	}
	r.Verdict, r.Test, r.Message = row.judge(report)
	return r
}

// judge is what those that have to notice made of the fault: of the first that did not, or of the first of all.
func (r Row) judge(report *suite.Report) (verdict Verdict, test, message string) {
	for i, name := range r.noticing() {
		what, who, said := judge(report, name, r.Names)
		if i == 0 || what != Caught {
			verdict, test, message = what, who, said
		}
		if what != Caught {
			break
		}
	}
	return verdict, test, message
}

// judge says what one test of a row, or a subtest by its full name, made of the fault.
func judge(ran *suite.Report, name string, names *regexp.Regexp) (verdict Verdict, test, message string) {
	top, part, isPart := strings.Cut(name, "/")
	for _, failed := range ran.Failed() {
		if failed.Name != top {
			continue
		}
		if isPart {
			at := slices.IndexFunc(failed.Parts, func(p *report.Test) bool { return p.Name == part && p.Outcome == report.Failed })
			if at < 0 {
				break
			}
			failed = failed.Parts[at]
		}
		if names.MatchString(failed.Output) {
			return Caught, name, said(failed, names)
		}
		return Unnamed, name, said(failed, nil)
	}
	return Missed, name, "the test passed"
}

func (t trial) try(ctx context.Context, what string, name fault.Name, number int, row Row) (report *suite.Report, err error) {
	if err := t.options.Switch(ctx, name); err != nil {
		return nil, err
	}
	artifacts, limit := filepath.Join(t.dir, string(name)), cmp.Or(row.Limit, pickLimit)
	if name == "" {
		artifacts, limit = filepath.Join(t.dir, "control"), controlLimit
	}
	err = t.con.Run(ctx, "run the tests "+what, func(ctx context.Context, step *console.Step) error {
		step.Set("%s", strings.Join(row.Tests, ", "))
		report, err = t.options.Program.Run(ctx, suite.Pick{
			Tests: row.Tests, Limit: stretch.Limit(limit),
			// A run id of its own: a namespace that is going cannot be made again.
			Change: func(f *settings.TestFile) {
				f.RunID, f.Artifacts = fmt.Sprintf("%sr%d", t.settings.RunID[:min(8, len(t.settings.RunID))], number), artifacts
				if row.Change != nil {
					row.Change(f)
				}
			},
		})
		if err == nil {
			step.Note("%s", report.Counts())
		}
		return err
	})
	return report, err
}

// said is what a test said, in one line: what matched, or what was expected and seen, or what it logged first.
func said(t *report.Test, names *regexp.Regexp) string {
	if names == nil {
		names = expected
	}
	text := t.Output
	at := names.FindStringIndex(text)
	if at == nil {
		return oneLine(t.Reason)
	}
	text = text[strings.LastIndex(text[:at[0]], "\n")+1:]
	if end := where.FindStringIndex(text); end != nil {
		text = text[:end[0]]
	}
	return oneLine(place.ReplaceAllString(text, ""))
}

var (
	expected = regexp.MustCompile("expected: ")
	// where begins the part of a message that says where it happened.
	where = regexp.MustCompile(`\n +(pod \S+/|logs, pods, events)`)
	// place is what the testing package puts before a message.
	place = regexp.MustCompile(`^\s*\S+\.go:\d+: `)
)

func oneLine(text string) string {
	const most = 200
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

func verdict(results []Result, dir string) error {
	var bad []string
	for _, r := range results {
		if !r.good() {
			name := string(r.Fault)
			if name == "" {
				name = "the control"
			}
			bad = append(bad, fmt.Sprintf("%s %s", name, r.Verdict))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("break the stand-in on purpose: %d of %d not as they should be: %s; the tests' artifacts are in %s; one again: E2E_FAULTS='^NAME$' go tool mage sensitivity",
		len(bad), len(results), strings.Join(bad, ", "), dir)
}
