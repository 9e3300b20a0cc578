package quality

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const notHere = "GPU/cloud: not on this backend"

var (
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	quoted       = regexp.MustCompile("`([^`]+)`")
)

// Whoever comes from Cedana's own suite looks for its cases: each of the 37 has a verdict, and the tests that are named
// are there.
func TestEveryUpstreamCaseHasATestThatIsThere(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../tests/e2e/*_test.go")
	require.NoError(t, err)
	tests := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range testFunction.FindAllStringSubmatch(string(text), -1) {
			tests[match[1]] = true
		}
	}
	require.NotEmpty(t, tests)

	doc, err := os.ReadFile("../../../docs/upstream-cases.md")
	require.NoError(t, err)
	cases := map[string]int{}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || len(cells) != 4 || strings.HasPrefix(line, "| upstream") {
			continue
		}
		file, name, verdict, named := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), quoted.FindAllStringSubmatch(cells[3], -1)
		cases[file]++
		switch verdict {
		case "same", "stricter":
			assert.NotEmpty(t, named, "%s: %s has no test", file, name)
		case notHere:
			assert.Empty(t, named, "%s: %s is not on this backend and has a test", file, name)
		default:
			assert.Fail(t, "no verdict", "%s: %s: %q", file, name, verdict)
		}
		for _, match := range named {
			assert.True(t, tests[match[1]], "%s: %s: there is no test %s in tests/e2e", file, name, match[1])
		}
	}
	assert.Equal(t, map[string]int{"cpu": 6, "cpu_large": 6, "gpu": 6, "gpu_large": 11, "declarative_restore": 3, "rw_layer": 1, "spot": 1, "chaos": 3}, cases)
}
