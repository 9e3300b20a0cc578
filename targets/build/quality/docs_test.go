package quality

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var messageHeading = regexp.MustCompile("(?m)^### `(.*)`$")

// What a person searches docs/troubleshooting.md for is what the programs say: a message that was changed, or never
// was one, would not be found. A heading has the text of one message, with … for what differs.
func TestEveryMessageInTroubleshootingIsInTheCode(t *testing.T) {
	t.Parallel()
	var messages []string
	for _, dir := range []string{"../../../targets", "../../../tests"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				text := message(n)
				messages = append(messages, text)
				return text == ""
			})
			return nil
		}))
	}
	doc, err := os.ReadFile("../../../docs/troubleshooting.md")
	require.NoError(t, err)
	headings := messageHeading.FindAllStringSubmatch(string(doc), -1)
	require.Len(t, headings, strings.Count(string(doc), "\n### "), "every heading of the third level is one message in backticks")
	for _, heading := range headings {
		assert.Greater(t, len(strings.Fields(heading[1])), 1, "a single word is no message: %q", heading[1])
		var parts []string
		for part := range strings.SplitSeq(heading[1], "…") {
			parts = append(parts, regexp.QuoteMeta(strings.TrimSpace(part)))
		}
		pattern := regexp.MustCompile("(?s)" + strings.Join(parts, ".+"))
		assert.True(t, slices.ContainsFunc(messages, pattern.MatchString), "no message is %q", heading[1])
	}
}

// message is the text of a string in the code, or of several that are added up; what is added and is no text is "%v".
func message(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		left, right := message(n.X), message(n.Y)
		if n.Op != token.ADD || left == "" && right == "" {
			return ""
		}
		return cmp.Or(left, "%v") + cmp.Or(right, "%v")
	}
	return ""
}

var (
	walk    = regexp.MustCompile(`(?m)^\|---\|---\|---\|\n((?:\| \d+ \|.*\n)+)`)
	station = regexp.MustCompile("^\\| \\d+ \\| .* \\| `([^`]+)` \\|$")
)

// A walk through the architecture that leads to a file which has moved leads nowhere.
func TestEveryStationOfTheArchitectureIsAFile(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../docs/architecture.md")
	require.NoError(t, err)
	walks := walk.FindAllStringSubmatch(string(doc), -1)
	require.Len(t, walks, 2, "a run, and a checkpoint")
	for _, walk := range walks {
		stations := strings.Split(strings.TrimSpace(walk[1]), "\n")
		require.LessOrEqual(t, len(stations), 12)
		for _, line := range stations {
			found := station.FindStringSubmatch(line)
			require.NotNil(t, found, "a station has a number, what happens, and a file: %s", line)
			assert.FileExists(t, filepath.Join("../../..", found[1]))
		}
	}
}
