//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/cedana/cedana-e2e/tests/chaos"
	"github.com/cedana/cedana-e2e/tests/environment"
)

// For E2E_CHAOS_TIME pods are checkpointed, deleted and restored side by side, while helpers, nodes and the propagator are
// killed. After each round every pod has to be there once, running on from where it was, and at the end every checkpoint
// restores its own moment and nothing is left anywhere. What fails because of what was killed is excused, as long as
// enough is done all the same. What happens follows from the seed.
func TestChaos(t *testing.T) {
	s := beginAlone(t)
	s.Facts.Replay = fmt.Sprintf("SEED=%d E2E_CHAOS_TIME=%s SUITE=chaos %s", s.Env.Seed, s.Env.ChaosTime.Duration, environment.Remedy)
	s.Logf("the seed is %d; again: %s", s.Env.Seed, s.Facts.Replay)
	run := chaos.Prepare(s, chaos.Budget{Pods: 4, Kept: 2, LeftOver: time.Minute, PerMinute: 2, Excused: 0.5, Frozen: 15 * time.Second})
	plan := chaos.New(s.Env.Seed, run.Options())
	for begin := time.Now(); time.Since(begin) < s.Env.ChaosTime.Duration; {
		run.Play(plan.Next())
	}
	run.Finish()
}
