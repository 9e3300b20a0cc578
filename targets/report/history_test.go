package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/mask"
)

// runs are n runs, one after the other, remembered in a file: did says what becomes of each.
func runs(t *testing.T, n int, did func(i int, r *Run)) (last *Run, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), HistoryFile)
	for i := range n {
		last = greenRun()
		last.ID, last.Start = fmt.Sprintf("run%d", i), at(float64(100*i))
		last.Tests[0].Took = in(30 + float64(i%3)/10)
		did(i, last)
		require.NoError(t, last.Remember(mask.New(), file))
	}
	return last, file
}

const counted = "TestRestoreCounter"

func TestTheSameVersionsWithBothVerdictsAreFlaky(t *testing.T) {
	t.Parallel()
	last, _ := runs(t, 3, func(i int, r *Run) {
		if i == 1 {
			r.Tests[0].Outcome = Failed
		}
	})
	require.True(t, last.Trends[counted].Flaky)
	require.Equal(t, "1 of the last 3 runs of these versions red", last.Trends[counted].String())
	require.Contains(t, last.earlier(), "flaky: "+counted)
	dir := t.TempDir()
	require.NoError(t, last.Publish(dir, "", mask.New()))
	require.Contains(t, html(t, dir), `<strong class="mark">flaky</strong>`)

	last, _ = runs(t, 3, func(i int, r *Run) {
		if i == 1 {
			r.Tests[0].Outcome = Failed
			r.Versions = append(r.Versions, Fact{"image of helper", "another one"})
		}
	})
	require.False(t, last.Trends[counted].Flaky, "other versions say nothing of these")
}

func TestSlowerIsOutsideOfTheSpread(t *testing.T) {
	t.Parallel()
	slow := func(n int, by float64) bool {
		last, _ := runs(t, n, func(i int, r *Run) {
			if i == n-1 {
				r.Tests[0].Took = in(30 + by)
			}
		})
		return last.Trends[counted].Slower
	}
	require.True(t, slow(8, 10))
	require.False(t, slow(8, 0.5), "within the spread")
	require.False(t, slow(4, 10), "too few runs have no spread")
}

func TestARunWithoutVersionsIsComparedWithNone(t *testing.T) {
	t.Parallel()
	last, file := runs(t, 3, func(_ int, r *Run) { r.Versions = nil })
	require.Empty(t, last.earlier())
	entries, err := History(file)
	require.NoError(t, err)
	require.Len(t, entries, 3)
}

func TestTheHistoryIsListedWithoutWhatIsNoLineOfIt(t *testing.T) {
	t.Parallel()
	_, file := runs(t, 2, func(i int, r *Run) {
		if i == 1 {
			r.Tests[0].Outcome, r.Outcome = Failed, Failed
		}
	})
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(text, []byte(`{"id": "cu`)...), 0o600))
	entries, err := History(file, file, filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	require.Len(t, entries, 2)
	var out strings.Builder
	require.NoError(t, ListHistory(&out, entries))
	require.Regexp(t, `run1 +smoke +[0-9a-f]{12} +failed +1 min 0 s +2 +TestRestoreCounter`, out.String())
}
