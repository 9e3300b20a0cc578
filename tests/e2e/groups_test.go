//go:build !e2e

package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestEveryTestIsInOneGroup(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var written []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		if len(file.Comments) == 0 || file.Comments[0].List[0].Text != "//go:build e2e" {
			continue
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				written = append(written, f.Name.Name)
			}
		}
	}
	var listed []string
	for _, g := range groups {
		listed = append(listed, g.tests...)
	}
	require.NotEmpty(t, written)
	require.ElementsMatch(t, written, listed, "groups.go has each test once")
}

func TestAGroupSelectsItsOwnTestsAndFullThoseOfSmokeToo(t *testing.T) {
	t.Parallel()
	for suite, want := range map[settings.Group][]settings.Group{
		settings.Smoke: {settings.Smoke}, settings.Full: {settings.Smoke, settings.Full},
		settings.Chaos: {settings.Chaos}, settings.Measure: {settings.Measure}, settings.Workloads: {settings.Workloads}, settings.TryPods: {settings.TryPods},
		settings.Bench: {settings.Bench},
	} {
		pattern := regexp.MustCompile(selection(suite))
		for _, g := range groups {
			for _, name := range g.tests {
				has := false
				for _, w := range want {
					has = has || w == g.name
				}
				require.Equal(t, has, pattern.MatchString(name), "%s in SUITE=%s", name, suite)
				require.False(t, pattern.MatchString(name+"More"))
			}
		}
	}
}

func TestOtherGroupsAreOneLine(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^not asked for: \d+ in SUITE=full, 1 in SUITE=chaos, 2 in SUITE=measure, 1 in SUITE=workloads$`, others(settings.Smoke))
	require.NotContains(t, others(settings.Full), "smoke")
}

// What cannot be had on one machine runs on another: whoever meets a skip finds in the table which.
func TestEverySkipHasARowThatSaysWhereItRuns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/platforms.md")
	require.NoError(t, err)
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	skipping := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		if len(file.Comments) == 0 || file.Comments[0].List[0].Text != "//go:build e2e" {
			continue
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.SelectorExpr); ok && (call.Sel.Name == "Skip" || call.Sel.Name == "Skipf") {
					skipping[f.Name.Name] = true
				}
				return true
			})
		}
	}
	require.NotEmpty(t, skipping)
	for name := range skipping {
		require.Contains(t, string(text), "| `"+name+"`", "docs/platforms.md has no row that says where the test runs that is skipped here")
	}
}
