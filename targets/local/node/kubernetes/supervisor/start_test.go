package supervisor

import (
	"testing"
	"time"
)

func TestANodeWaitsAsLongAsWhoeverMadeIt(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 3 * time.Minute, "30m0s": 30 * time.Minute, "soon": 3 * time.Minute, "-1s": 3 * time.Minute} {
		if got := startLimit(func(string) string { return value }); got != want {
			t.Errorf("%s=%q is a limit of %s, want %s", startLimitVariable, value, got, want)
		}
	}
}
