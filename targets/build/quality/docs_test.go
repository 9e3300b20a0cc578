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

var (
	settingTag    = regexp.MustCompile("`env:\"([A-Z0-9_]+)(?:, default=([^\"]*))?\"`")
	chartVariable = regexp.MustCompile(`(?m)^\t\{"([A-Z_]+)", "[a-zA-Z.]+", \w+\},$`)
	tableRow      = regexp.MustCompile("(?m)^\\| (`[A-Z][A-Z0-9_]*`(?:, `[A-Z][A-Z0-9_]*`)*) \\|(.*?)\\| .* \\|$")
	inBackticks   = regexp.MustCompile("`([^`]+)`")
)

// elsewhere are variables that a library or another package reads.
var elsewhere = []string{"HELM_REGISTRY_CONFIG", "NO_COLOR", "DOCKER_HOST", "SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY"}

// The one table has every variable that there is and no other, each with the default that it has.
func TestTheTableOfVariablesIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	read := func(file string) string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(text)
	}
	there := map[string]string{}
	for _, name := range elsewhere {
		there[name] = ""
	}
	for _, file := range []string{"settings.go", "tests.go"} {
		for _, found := range settingTag.FindAllStringSubmatch(read("../../settings/"+file), -1) {
			there[found[1]] = found[2]
		}
	}
	for _, found := range chartVariable.FindAllStringSubmatch(read("../../deploy/values.go"), -1) {
		there[found[1]] = ""
	}
	require.Greater(t, len(there), 60, "the variables are found in the code")

	_, section, ok := strings.Cut(read("../../../README.md"), "## Environment variables")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]bool{}
	for _, row := range tableRow.FindAllStringSubmatch(section, -1) {
		for _, name := range inBackticks.FindAllStringSubmatch(row[1], -1) {
			standard, known := there[name[1]]
			assert.True(t, known, "%s is in the table, and nothing reads it", name[1])
			assert.False(t, told[name[1]], "%s is in the table twice", name[1])
			told[name[1]] = true
			if standard != "" && name[1] != "CI" {
				assert.Contains(t, row[2], "`"+standard+"`", "the default of %s", name[1])
			}
		}
	}
	for name := range there {
		assert.True(t, told[name], "%s is not in the table", name)
	}
}
