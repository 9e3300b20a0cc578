package sensitivity

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

func TestEveryFaultHasARowAndEveryRowAFault(t *testing.T) {
	t.Parallel()
	var known, rows []fault.Name
	for _, r := range fault.All() {
		known = append(known, r.Name)
	}
	for _, row := range Catalogue {
		rows = append(rows, row.Fault)
	}
	require.Equal(t, known, rows, "in the same order")
}

func TestEveryTestInTheCatalogueExists(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../tests/e2e/*_test.go")
	require.NoError(t, err)
	there := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				there[f.Name.Name] = true
			}
		}
	}
	for _, row := range append(slices.Clone(Catalogue), Workloads...) {
		require.NotEmpty(t, row.Tests, row.Fault)
		for _, name := range row.Tests {
			assert.True(t, there[name], "%s: no test has the name %s", row.Fault, name)
		}
		for _, name := range row.Each {
			test, _, _ := strings.Cut(name, "/")
			assert.Contains(t, row.Tests, test, "%s: %s", row.Fault, name)
		}
	}
}

// stage is a suite and a propagator: a test fails with a text under some faults.
type stage struct {
	says    map[fault.Name]string
	now     fault.Name
	history []fault.Name
	ids     map[string]bool
	fail    error
}

func (s *stage) Switch(_ context.Context, name fault.Name) error {
	s.now = name
	s.history = append(s.history, name)
	return nil
}

func (s *stage) Run(_ context.Context, pick suite.Pick) (*suite.Report, error) {
	var given settings.TestFile
	pick.Change(&given)
	s.ids[given.RunID] = true
	ran := &suite.Report{}
	for _, name := range pick.Tests {
		result := &report.Test{Name: name, Outcome: "passed"}
		if text, bad := s.says[s.now]; bad {
			result.Outcome, result.Output = "failed", "    x_test.go:1: \n  "+text+"\n  pod ns/name (uid)\n"
		}
		ran.Tests = append(ran.Tests, result)
	}
	return ran, s.fail
}

func try(t *testing.T, s *stage, only string) (table string, dir string, err error) {
	t.Helper()
	s.ids = map[string]bool{}
	var progress, data bytes.Buffer
	dir = t.TempDir()
	err = Run(t.Context(), console.New(&progress, &data), &settings.Sensitivity{Run: settings.Run{Artifacts: dir, RunID: "1a2b3c4d"}, Pattern: only},
		Options{Program: s, Switch: s.Switch})
	return data.String(), filepath.Join(dir, artifactsDir), err
}

// One program's case that stays green is a miss, whatever the others say.
func TestEachSubtestOfARowHasToNotice(t *testing.T) {
	t.Parallel()
	row := Row{Tests: tests("TestA"), Each: []string{"TestA/one", "TestA/two"}, Names: says("expected: ")}
	part := func(name string, outcome report.Outcome, output string) *report.Test {
		return &report.Test{Name: name, Outcome: outcome, Output: output}
	}
	const named = "expected: this\n"
	for _, c := range []struct {
		parts []*report.Test
		want  Verdict
		of    string
	}{
		{[]*report.Test{part("one", report.Failed, named), part("two", report.Failed, named)}, Caught, "TestA/one"},
		{[]*report.Test{part("one", report.Failed, named), part("two", report.Passed, "")}, Missed, "TestA/two"},
		{[]*report.Test{part("one", report.Failed, named)}, Missed, "TestA/two"},
		{[]*report.Test{part("one", report.Failed, named), part("two", report.Failed, "gone")}, Unnamed, "TestA/two"},
	} {
		ran := &suite.Report{}
		ran.Tests = []*report.Test{{Name: "TestA", Outcome: report.Failed, Output: named, Parts: c.parts}}
		verdict, test, _ := row.judge(ran)
		require.Equal(t, c.want, verdict)
		require.Equal(t, c.of, test)
	}
}

func TestSuiteWorkloadsHasACatalogueOfItsOwn(t *testing.T) {
	t.Parallel()
	rows, err := choose(settings.Workloads, "cold")
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, tests(workloadsTest), rows[0].Tests)
	_, err = choose(settings.Workloads, "labels-lost")
	require.ErrorContains(t, err, "E2E_FAULTS matches none")
}

func TestWhatIsCaughtMissedAndNotNamedIsToldApart(t *testing.T) {
	t.Parallel()
	s := &stage{says: map[fault.Name]string{
		fault.LabelsLost: "expected: all\n  seen: lost: label app", fault.AnnotationsLost: "expected: something\n  seen: else",
	}}
	table, dir, err := try(t, s, "^(labels|annotations|limits)-lost$")
	require.ErrorContains(t, err, "annotations-lost UNNAMED, limits-lost MISSED")
	require.NotContains(t, err.Error(), "labels-lost caught")
	require.Regexp(t, `(?m)^\(none\) +green`, table)
	require.Regexp(t, `(?m)^labels-lost +caught .*lost: label app$`, table)
	require.Equal(t, []fault.Name{"", fault.LabelsLost, fault.AnnotationsLost, fault.LimitsLost, ""}, s.history,
		"the propagator is whole at the end")
	require.Len(t, s.ids, 4, "a run id for each")
	for _, name := range []string{"sensitivity.json", "sensitivity.md"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Contains(t, string(content), "limits-lost")
	}
}

func TestAllCaughtIsNoError(t *testing.T) {
	t.Parallel()
	_, _, err := try(t, &stage{says: map[fault.Name]string{fault.LabelsLost: "seen: lost: label app"}}, "^labels-lost$")
	require.NoError(t, err)
}

func TestAControlThatIsRedIsAnError(t *testing.T) {
	t.Parallel()
	_, _, err := try(t, &stage{says: map[fault.Name]string{"": "boom", fault.LabelsLost: "lost: label app"}}, "^labels-lost$")
	require.ErrorContains(t, err, "the control RED")
}

func TestTestsThatCannotRunCatchNothing(t *testing.T) {
	t.Parallel()
	s := &stage{says: map[fault.Name]string{fault.LabelsLost: "lost: label app"}, fail: errors.New("no cluster")}
	table, _, err := try(t, s, "^labels-lost$")
	require.ErrorContains(t, err, "labels-lost BROKEN")
	require.Contains(t, table, "no cluster")
}

func TestAPatternThatMatchesNothingIsRefusedWithTheNames(t *testing.T) {
	t.Parallel()
	_, _, err := try(t, &stage{}, "everything")
	require.ErrorContains(t, err, "cold-start")
}
