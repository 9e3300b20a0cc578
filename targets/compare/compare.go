// Package compare sets two versions against each other: in turns, on one machine, in one run.
package compare

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/measured"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// pattern picks the tests that measure what is compared, unless E2E_RUN does.
const pattern = "TestBudget"

// Side is one of the two versions.
type Side struct {
	// Name is A or B, Version what was asked for.
	Name, Version string
	// Dir is a clone at that version.
	Dir string
	// Env is what its runs are told beside this process's environment.
	Env []string
}

// Runner runs a Mage target of a side, with its output to the progress.
type Runner func(ctx context.Context, s Side, target string, env ...string) error

// Run measures both sides in turns and prints the verdict. A is measured twice as often as B: what is between its two
// halves is noise. Both have a cluster of their own, which is removed at the end.
//
// The error names the figures that B is slower in.
func Run(ctx context.Context, con *console.Console, s *settings.Settings, a, b Side, run Runner) (err error) {
	sides := []Side{a, b}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*s.Cleanup.Timeout)
		defer cancel()
		for _, side := range sides {
			err = errors.Join(err, run(ctx, side, "clean"))
		}
	}()
	for _, side := range sides {
		if err := run(ctx, side, "deploy"); err != nil {
			return fmt.Errorf("deploy %s, %s: %w", side.Name, side.Version, err)
		}
	}
	var figures collected
	for round := range s.Compare.Rounds {
		turns := []turn{{a, &figures.a}, {b, &figures.b}, {a, &figures.again}}
		// Each round begins with another: what the machine does over time comes to all of them.
		shift := round % len(turns)
		turns = slices.Concat(turns[shift:], turns[:shift])
		for _, t := range turns {
			con.Step("round %d of %d: %s, %s", round+1, s.Compare.Rounds, t.side.Name, t.side.Version)
			dir := filepath.Join(s.Artifacts, "compare", t.side.Name)
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove the last round's artifacts: %w", err)
			}
			if err := run(ctx, t.side, "e2e", "SUITE=measure", "E2E_SAMPLES=1", "E2E_RUN="+cmp.Or(s.Suite.Pattern, pattern), "E2E_ARTIFACTS="+dir); err != nil {
				return fmt.Errorf("measure %s, %s: %w", t.side.Name, t.side.Version, err)
			}
			if err := t.to.read(filepath.Join(dir, report.CasesDir, artifacts.MeasuredDir)); err != nil {
				return fmt.Errorf("measure %s, %s: %w", t.side.Name, t.side.Version, err)
			}
		}
	}
	rows := Judge(figures.common(), s.Compare.Threshold)
	if len(rows) == 0 {
		return errors.New("compare: A and B have measured nothing that both have")
	}
	return errors.Join(Write(con.Data(), rows), Err(rows))
}

type turn struct {
	side Side
	to   *times
}

// times are the figures of one side by name.
type times map[string][]time.Duration

// read adds what a run has measured.
func (t *times) read(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return errors.Join(fmt.Errorf("nothing was measured: no file in %s", dir), err)
	}
	if *t == nil {
		*t = times{}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var run measured.Times
		if err := json.Unmarshal(data, &run); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		test := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(file), ".json"), "budget-")
		for _, one := range run.Series {
			name := test + ", " + one.Name
			if one.At != "" {
				name += ", " + one.At
			}
			(*t)[name] = append((*t)[name], one.Samples...)
		}
	}
	return nil
}

// collected are the figures of the two sides, A's in two halves.
type collected struct{ a, again, b times }

// common are the figures that all have, by name.
func (c collected) common() []Figure {
	var figures []Figure
	for name, b := range c.b {
		if a, again := c.a[name], c.again[name]; len(a) > 0 && len(again) > 0 {
			figures = append(figures, Figure{Name: name, A: a, Again: again, B: b})
		}
	}
	slices.SortFunc(figures, func(x, y Figure) int { return strings.Compare(x.Name, y.Name) })
	return figures
}
