package stretch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALimitIsTimesTheFactorOfTheProcess(t *testing.T) {
	require.Equal(t, time.Minute, Limit(time.Minute), "1 until it is set")
	Set(2.5)
	t.Cleanup(func() { Set(1) })
	require.Equal(t, 150*time.Second, Limit(time.Minute))
}

func TestAFactorIsANumberFromOne(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"": 1, "1": 1, "1.5": 1.5, "100": 100} {
		factor, err := Parse(text)
		require.NoError(t, err)
		require.InDelta(t, want, factor, 0)
	}
	for _, text := range []string{"0", "0.5", "-1", "101", "NaN", "Inf", "fast"} {
		_, err := Parse(text)
		require.ErrorContains(t, err, "is not a number from 1 to 100", text)
	}
}
