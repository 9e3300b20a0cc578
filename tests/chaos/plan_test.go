package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var everything = Options{Pods: 4, Agents: 2, Propagator: true}

func rounds(seed uint64, o Options, n int) []Round {
	p := New(seed, o)
	var all []Round
	for range n {
		all = append(all, p.Next())
	}
	return all
}

func TestASeedIsAlwaysTheSamePlanAndAnotherIsAnother(t *testing.T) {
	t.Parallel()
	first := rounds(7, everything, 100)
	require.Equal(t, first, rounds(7, everything, 100))
	require.NotEqual(t, first, rounds(8, everything, 100))
}

// The plan of a seed stays what it was, or a seed from an old report would replay something else.
func TestTheFirstRoundOfASeedIsKnown(t *testing.T) {
	t.Parallel()
	require.Equal(t, "round 1: pod 0: checkpoint after 590ms, pod 2: restore of checkpoint -1 after 910ms; no disruption",
		rounds(1, everything, 1)[0].String())
}

func TestARoundHasAtLeastOneDeedAndOneAtMostForEachPod(t *testing.T) {
	t.Parallel()
	for i, r := range rounds(3, everything, 300) {
		require.Equal(t, i+1, r.Number)
		require.NotEmpty(t, r.Tasks)
		seen := map[int]bool{}
		for _, d := range r.Tasks {
			require.False(t, seen[d.Pod], r)
			seen[d.Pod] = true
			require.Less(t, d.Pod, everything.Pods)
			require.Equal(t, d.Kind == Cycle, d.Times > 0)
			require.LessOrEqual(t, d.Back, 1)
		}
		require.Less(t, r.Agent, everything.Agents)
	}
}

// A minute has about ten rounds.
func TestEveryDisruptionComesWithinTenRoundsWhateverTheSeed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		seen := map[Disruption]bool{}
		for _, r := range rounds(seed, everything, 8) {
			seen[r.Disruption] = true
		}
		require.Len(t, seen, 6, "seed %d", seed)
	}
}

func TestEveryKindOfDeedComes(t *testing.T) {
	t.Parallel()
	seen := map[Kind]bool{}
	for _, r := range rounds(5, everything, 50) {
		for _, d := range r.Tasks {
			seen[d.Kind] = true
		}
	}
	require.Len(t, seen, 4)
}

func TestWhatIsNotThereIsNotBroken(t *testing.T) {
	t.Parallel()
	for _, r := range rounds(9, Options{Pods: 1}, 100) {
		require.Equal(t, Quiet, r.Disruption)
		require.Len(t, r.Tasks, 1)
	}
}
