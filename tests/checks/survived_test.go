package checks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/tests/pods"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func counted(n uint64) report.State {
	return report.State{
		Nonce: "nonce", Count: n, Start: start, PID: 1, CWD: "/", MemorySHA256: "sum", MemorySHA256AtStart: "sum", Env: map[string]string{"A": "1"},
		Journals: map[string]report.Journal{"root": {Path: "/log"}},
	}
}

func TestAnotherProcessIsNotTheSame(t *testing.T) {
	t.Parallel()
	require.NoError(t, SameProcess(counted(5), counted(5)))
	require.NoError(t, SameProcess(counted(5), counted(9)))
	for want, change := range map[string]func(*report.State){
		"the nonce in memory":           func(s *report.State) { s.Nonce = "other" },
		"the process started at":        func(s *report.State) { s.Start = start.Add(1) },
		"the pid is 1":                  func(s *report.State) { s.PID = 2 },
		"the uid is 0":                  func(s *report.State) { s.UID = 2 },
		"the gid is 0":                  func(s *report.State) { s.GID = 2 },
		"the working directory":         func(s *report.State) { s.CWD = "/tmp" },
		"the checksum of memory is sum": func(s *report.State) { s.MemorySHA256 = "flipped" },
		"the checksum of memory is as":  func(s *report.State) { s.MemorySHA256AtStart = "older" },
		"the count is at least 5":       func(s *report.State) { s.Count = 4 },
		"environment variable A is 1":   func(s *report.State) { s.Env = nil },
	} {
		now := counted(5)
		change(&now)
		require.ErrorContains(t, SameProcess(counted(5), now), want)
	}
}

// restored is a counter that slept at a count until its restore.
func restored(slept uint64) report.State {
	s := counted(slept + 10)
	s.Pauses = []report.Pause{
		{Count: slept - 1, From: start, To: start.Add(time.Second)},
		{Count: slept, From: start, To: start.Add(time.Minute)},
	}
	return s
}

func TestARestoredCounterGoesOnFromItsCheckpoint(t *testing.T) {
	t.Parallel()
	m := &Counter{Before: counted(10), After: counted(20), Last: counted(30)}
	require.NoError(t, FromMoment(m, restored(10)))
	require.NoError(t, FromMoment(m, restored(20)))
	require.ErrorContains(t, FromMoment(m, restored(9)), "goes on from the moment of its checkpoint, count 10 to 20")
	require.ErrorContains(t, FromMoment(m, restored(21)), "goes on from the moment")
	require.ErrorContains(t, FromMoment(m, counted(15)), "it has slept since then", "a counter that never slept was not restored")
	m.Last = counted(20)
	require.ErrorContains(t, FromMoment(m, restored(20)), "older than the original's last")
}

func TestADamagedFileIsNamed(t *testing.T) {
	t.Parallel()
	require.NoError(t, Intact(counted(3)))
	damaged := counted(3)
	damaged.Journals["root"] = report.Journal{Path: "/log", Error: "line 2 is missing"}
	require.ErrorContains(t, Intact(damaged), "/log has a line for each count from 1 to 3")
	require.ErrorContains(t, Intact(damaged), "line 2 is missing")
}

func TestAKindOfStateIsKeptWhenItIsWholeTheSameAndGoesOn(t *testing.T) {
	t.Parallel()
	with := func(fact string, progress uint64, lost string) report.State {
		return report.State{Kinds: map[string]report.Kind{"pipes": {
			Values: map[string]string{"size": fact}, Progress: map[string]uint64{"read": progress}, Error: lost,
		}}}
	}
	before := with("4096", 5, "")
	require.NoError(t, Kept("pipes", before, with("4096", 5, ""), with("4096", 6, "")))
	require.ErrorContains(t, Kept("pipes", before, with("4096", 5, "closed"), with("4096", 6, "")), "is whole in the restored pod, at once")
	require.ErrorContains(t, Kept("pipes", before, with("4096", 5, ""), with("4096", 6, "closed")), "after it has run for a while")
	require.ErrorContains(t, Kept("pipes", before, with("1", 5, ""), with("4096", 6, "")), "pipes: size is 4096")
	require.ErrorContains(t, Kept("pipes", before, with("4096", 4, ""), with("4096", 6, "")), "read is at least 5")
	require.ErrorContains(t, Kept("pipes", before, with("4096", 5, ""), with("4096", 5, "")), "read goes on from 5")
	require.Error(t, Kept("pipes", before, report.State{}, report.State{}), "a kind that is gone is not kept")
}

func TestTheLastCountOfAProcessIsFoundInItsLog(t *testing.T) {
	t.Parallel()
	last, spoke := lastCount([]byte("count=1 nonce=a\ncount=9 nonce=b\ncount=2 nonce=a\nnoise\n"), "a")
	require.True(t, spoke)
	require.EqualValues(t, 2, last)
	_, spoke = lastCount([]byte("count=9 nonce=b\n"), "a")
	require.False(t, spoke)
}

func TestContainersOfDifferentMomentsAreToldByWhatTheyHeard(t *testing.T) {
	t.Parallel()
	counters := []*Counter{{Port: 8080, Before: counted(10)}, {Port: 8081, Before: counted(10)}}
	now := func(heard, told uint64) []report.State {
		hearer, teller := restored(15), restored(told)
		hearer.Env = map[string]string{"COUNTER_PEER": pods.PeerAddress(8081)}
		for i := range hearer.Pauses {
			hearer.Pauses[i].Heard = heard
		}
		return []report.State{hearer, teller}
	}
	require.NoError(t, Together(counters, now(20, 20)))
	require.NoError(t, Together(counters, now(19, 20)))
	require.ErrorContains(t, Together(counters, now(21, 20)), "port 8081 had counted as far as port 8080 had heard, 21")
	require.ErrorContains(t, Together(counters, now(0, 20)), "port 8080 has heard from port 8081")
	require.NoError(t, Together(counters, []report.State{restored(15), restored(90)}), "these do not talk")
}

func TestTwoRestoresOfOneCheckpointGoOnAtTimesOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, b := restored(15), restored(15)
	require.ErrorContains(t, Diverged(a, b, counted(10)), "each at a time of its own")
	b.Pauses[1].To = b.Pauses[1].To.Add(time.Millisecond)
	require.NoError(t, Diverged(a, b, counted(10)))
}
