package targets

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestABenchTakesOneSeriesOrAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ bench, pattern, want string }{
		{"", "", ""}, {"pods", "", "(?i)^TestBenchpods$"}, {"pods", "TestBenchPods/^10$", "TestBenchPods/^10$"},
	} {
		s := &settings.Suite{Bench: c.bench, Pattern: c.pattern}
		chooseBench(s)
		require.Equal(t, settings.Bench, s.Tests.Suite)
		require.Equal(t, c.want, s.Pattern)
	}
}
