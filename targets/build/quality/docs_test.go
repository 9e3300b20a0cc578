package quality

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var messageHeading = regexp.MustCompile("(?m)^### `(.*)`$")

// What a person searches docs/troubleshooting.md for is what the programs say: a message that was changed, or never
// was one, would not be found.
func TestEveryMessageInTroubleshootingIsInTheCode(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, dir := range []string{"../../../targets", "../../../tests"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		}))
	}
	doc, err := os.ReadFile("../../../docs/troubleshooting.md")
	require.NoError(t, err)
	headings := messageHeading.FindAllStringSubmatch(string(doc), -1)
	require.Equal(t, strings.Count(string(doc), "\n### "), len(headings), "every heading of the third level is one message in backticks")
	for _, heading := range headings {
		for part := range strings.SplitSeq(heading[1], "…") {
			if part = strings.TrimSpace(part); part != "" {
				assert.True(t, strings.Contains(code.String(), part), "no message has %q, of the heading %q", part, heading[1])
			}
		}
	}
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
