package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestTheDocumentsHaveTheVariablesOfTheCode(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"README.md", "docs/variables.md"} {
		text, err := os.ReadFile(filepath.Join("../..", path))
		require.NoError(t, err)
		want, err := filled(text)
		require.NoError(t, err)
		require.Equal(t, string(want), string(text), "%s is not what the code declares: run `go generate ./...`", path)
	}
}

func TestATableIsReplacedAndTheRestStays(t *testing.T) {
	t.Parallel()
	got, err := filled([]byte("before\n<!-- variables: SUITE -->\nold\n<!-- end -->\nafter\n"))
	require.NoError(t, err)
	require.Equal(t, "before\n<!-- variables: SUITE -->\n\n| variable | default | meaning |\n| --- | --- | --- |\n"+
		"| `SUITE` | `smoke` | group of tests: `smoke`, `full`, `chaos`, `measure`, `workloads` |\n\n<!-- end -->\nafter\n", string(got))
	again, err := filled(got)
	require.NoError(t, err)
	require.Equal(t, string(got), string(again))

	_, err = filled([]byte("<!-- variables: NO_SUCH -->\n<!-- end -->\n"))
	require.ErrorContains(t, err, "NO_SUCH")
	_, err = filled([]byte("no table\n"))
	require.Error(t, err)
}

func TestEveryVariableIsUnderTheHeadingOfItsGroupOnce(t *testing.T) {
	t.Parallel()
	whole := all(declared())
	groups := map[string]bool{}
	for _, v := range declared() {
		require.Equal(t, 1, strings.Count(whole, "| `"+v.Name+"` |"), v.Name)
		groups[v.Group] = true
	}
	require.Equal(t, len(groups), strings.Count(whole, "### "), "a group is declared in one piece")
	require.Equal(t, "| variable | default | read for | meaning |\n| --- | --- | --- | --- |\n| `A` | words | live | d |\n| `B` | `1` |  | e |\n",
		table([]settings.Variable{{Name: "A", Default: "x", DefaultText: "words", For: "live", Doc: "d"}, {Name: "B", Default: "1", Doc: "e"}}))
}
