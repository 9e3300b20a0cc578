package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/measured"
)

func TestAPlotHasALineForEachQuantityOverEqualSteps(t *testing.T) {
	t.Parallel()
	times := &measured.Times{X: "memory in MiB"}
	for i, at := range []string{"16", "64", "256"} {
		for range 3 {
			times.AddAt("checkpoint", at, 100*time.Millisecond<<(2*i))
		}
	}
	times.AddAt("by hand", "256", time.Second)
	p := newPlot(times)
	require.Equal(t, []string{"16", "64", "256"}, []string{p.Places[0].Label, p.Places[1].Label, p.Places[2].Label})
	require.Equal(t, []string{"100 ms", "200 ms", "500 ms", "1.0 s", "2.0 s"}, labels(p.Levels))
	require.Len(t, p.Lines, 2)
	points := p.Lines[0].Points
	require.Len(t, points, 3)
	require.Equal(t, plotFloor, int(points[0].Y))
	require.InDelta(t, points[0].Y-points[1].Y, points[1].Y-points[2].Y, 0.2, "four times as much each time is a straight line")
	require.Equal(t, "checkpoint, 16: 100 ms (100 ms to 100 ms, n=3)", points[0].Title)
	require.Len(t, p.Lines[1].Points, 1)
	require.InDelta(t, p.Places[2].X, p.Lines[1].Points[0].X, 0.001)
}

func labels(marks []mark) (all []string) {
	for _, m := range marks {
		all = append(all, m.Label)
	}
	return all
}

func TestAScaleHasTwoLevelsAtLeast(t *testing.T) {
	t.Parallel()
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, scale(time.Second, time.Second))
	require.Equal(t, []time.Duration{time.Millisecond, 2 * time.Millisecond}, scale(time.Millisecond, time.Millisecond))
}
