package measured

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheMedianIsTheMiddle(t *testing.T) {
	t.Parallel()
	require.Zero(t, (&Series{}).Median())
	require.Equal(t, 2*time.Second, (&Series{Samples: []time.Duration{3e9, 1e9, 2e9}}).Median())
	require.Equal(t, 1500*time.Millisecond, (&Series{Samples: []time.Duration{9e9, 1e9, 2e9, 1e9}}).Median())
}

func TestATableHasOneLineForEachSeries(t *testing.T) {
	t.Parallel()
	var set Times
	set.Add("restore", 1100*time.Millisecond)
	set.Add("checkpoint", 200*time.Millisecond)
	set.Add("restore", 1300*time.Millisecond)
	require.Nil(t, set.Get("other"))
	var b strings.Builder
	require.NoError(t, set.Write(&b))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, []string{"restore", "2", "1.2s", "1.1s", "1.3s"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"checkpoint", "1", "200ms", "200ms", "200ms"}, strings.Fields(lines[2]))
}

func TestATableOverAnAxisHasAQuantitysLinesTogetherAndItsNotesLast(t *testing.T) {
	t.Parallel()
	set := Times{X: "pods"}
	for _, at := range []string{"1", "10"} {
		set.AddAt("checkpoint", at, time.Second)
		set.AddAt("restore", at, time.Second)
	}
	set.Note("%d pods: no room", 100)
	var b strings.Builder
	require.NoError(t, set.Write(&b))
	require.Equal(t, `WHAT        PODS  N  MEDIAN  MIN  MAX
checkpoint  1     1  1s      1s   1s
checkpoint  10    1  1s      1s   1s
restore     1     1  1s      1s   1s
restore     10    1  1s      1s   1s
100 pods: no room
`, b.String())
	require.Nil(t, set.GetAt("restore", "100"))
}
