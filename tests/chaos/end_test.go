package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARunThatDidTooLittleOrExcusedTooMuchFails(t *testing.T) {
	t.Parallel()
	b := Budget{PerMinute: 2, Excused: 0.5}
	done := Done{Took: 2 * time.Minute, Taken: 4, Restored: 4, Tasks: 10, Excused: 5}
	require.NoError(t, b.met(done))
	for want, change := range map[string]func(*Done){
		"at least 4 checkpoints are taken": func(d *Done) { d.Taken = 3 },
		"at least 4 pods are restored":     func(d *Done) { d.Restored = 3 },
		"at most 0.5 of all tasks fail":    func(d *Done) { d.Excused = 6 },
		"at least 1 checkpoints are taken": func(d *Done) { *d = Done{} },
	} {
		less := done
		change(&less)
		require.ErrorContains(t, b.met(less), want)
	}
}
