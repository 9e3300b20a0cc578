package checks

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	record "github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// Counter is what a counter said of itself around a checkpoint of its pod.
type Counter struct {
	Port int
	// Before was asked before the request for the checkpoint, After when it was ready, Last when the original had gone on.
	Before, After, Last report.State
	// files are the contents of its journals before the checkpoint, by name.
	files map[string]string
}

// Before asks the counter at a port for its state, once it has counted: a pod answers before its first count, when there
// is nothing yet that a checkpoint could keep or lose.
func (c *Checks) Before(p *corev1.Pod, port int) *Counter {
	c.Helper()
	defer c.Step(record.StepCheck, "pod "+p.Name+" before its checkpoint")()
	m := &Counter{Port: port, Before: c.CountsOn(p, port, report.State{}), files: map[string]string{}}
	c.nonces.add(m.Before.Nonce, fmt.Sprintf("%s, port %d", p.Name, port))
	for name, j := range m.Before.Journals {
		c.That(j.Error == "", "the file "+j.Path+" is intact before the checkpoint", j.Error)
		c.That(j.Lines > 0, "the counter writes to "+j.Path, "an empty file")
		m.files[name] = c.Read(p, port, j.Path)
	}
	return m
}

// After is for when the checkpoint is ready: it checks that the original is still there, was not started anew, and goes
// on, and lets it go on, so that it gets ahead of its checkpoint.
func (c *Checks) After(p *corev1.Pod, m *Counter) {
	c.Helper()
	c.About(p)
	defer c.Step(record.StepCheck, "pod "+p.Name+" after its checkpoint")()
	c.Facts.Moment = fmt.Sprintf("the original after its checkpoint, port %d", m.Port)
	m.After = c.State(p, m.Port)
	c.Same(m.Before, m.After)
	m.Last = c.CountsOn(p, m.Port, m.After)
	c.Check(Intact(m.Last))
}

// Survived checks that a counter is the one that was checkpointed, gone on from the moment of its checkpoint: not a
// fresh start, no older and no later state, and running.
func (c *Checks) Survived(p *corev1.Pod, m *Counter) report.State {
	c.Helper()
	c.About(p)
	defer c.Step(record.StepCheck, "restored pod "+p.Name)()
	c.Facts.Moment = fmt.Sprintf("the restored pod, port %d", m.Port)
	now := c.State(p, m.Port)
	c.Same(m.Before, now)
	c.Check(FromMoment(m, now))
	// Of two pods that are one process, both have slept until the same instant.
	woke := Slept(now, m.Before).To
	first := c.nonces.woke(fmt.Sprintf("%s at %d", now.Nonce, woke.UnixNano()), p.Name)
	c.That(first == p.Name, "pod "+p.Name+" goes on from its checkpoint at a time of its own", fmt.Sprintf("%s, as pod %s", woke.Format(time.RFC3339Nano), first))
	c.Check(Intact(now))
	for name, before := range m.files {
		path := m.Before.Journals[name].Path
		content := c.Read(p, m.Port, path)
		c.That(strings.HasPrefix(content, before), fmt.Sprintf("%s begins with the %d bytes that it had before the checkpoint", path, len(before)),
			fmt.Sprintf("%d bytes: %s", len(content), fixture.Short(content)))
	}
	on := c.CountsOn(p, m.Port, now)
	c.Same(m.Before, on)
	c.Check(Intact(on))
	c.Logf("pod %s, port %d: count %d before the checkpoint, %d in it, %d after it, %d in the original at last; restored, it is at %d",
		p.Name, m.Port, m.Before.Count, Slept(now, m.Before).Count, m.After.Count, m.Last.Count, on.Count)
	return on
}

// Same checks that two states are of one process.
func (c *Checks) Same(was, is report.State) {
	c.Helper()
	if whose := c.nonces.whose(is.Nonce); was.Nonce != is.Nonce && whose != "" {
		c.Unexpected("the nonce in memory is that of "+c.nonces.whose(was.Nonce), "that of "+whose)
	}
	c.Check(SameProcess(was, is))
}

// SameProcess is nil when two states are of one process, the second not before the first.
func SameProcess(was, is report.State) error {
	err := fixture.First(
		fixture.ExpectEqual("the nonce in memory (another one is another process, started anew)", was.Nonce, is.Nonce),
		fixture.Expect(was.Start.Equal(is.Start), fmt.Sprintf("the process started at %s", was.Start), is.Start),
		fixture.ExpectEqual("the pid", was.PID, is.PID),
		fixture.ExpectEqual("the uid", was.UID, is.UID),
		fixture.ExpectEqual("the gid", was.GID, is.GID),
		fixture.ExpectEqual("the working directory", was.CWD, is.CWD),
		fixture.ExpectEqual("the checksum of memory", was.MemorySHA256, is.MemorySHA256),
		fixture.Expect(is.MemorySHA256 == is.MemorySHA256AtStart, "the checksum of memory is as at start, "+is.MemorySHA256AtStart, is.MemorySHA256),
		fixture.Expect(is.Count >= was.Count, fmt.Sprintf("the count is at least %d", was.Count), is.Count),
	)
	for k, v := range was.Env {
		err = fixture.First(err, fixture.ExpectEqual("the process's environment variable "+k, v, is.Env[k]))
	}
	return err
}

// FromMoment is nil when a restored counter goes on from the moment of its checkpoint: it slept from then until its
// restore, and remembers at which count.
func FromMoment(m *Counter, now report.State) error {
	slept := Slept(now, m.Before)
	want := fmt.Sprintf("the pod goes on from the moment of its checkpoint, count %d to %d", m.Before.Count, m.After.Count)
	return fixture.First(
		fixture.Expect(slept.Count >= m.Before.Count && slept.Count <= m.After.Count, want+": it has slept since then",
			fmt.Sprintf("count %d, its pauses were %v", now.Count, now.Pauses)),
		fixture.Expect(slept.Count < m.Last.Count, fmt.Sprintf("the restored state is older than the original's last, count %d", m.Last.Count), slept.Count),
		fixture.Expect(now.Count >= slept.Count, want, fmt.Sprintf("count %d", now.Count)),
	)
}

// Together is nil when the counters of a restored pod, with what each says now, were frozen at one moment: none of them
// has heard from another, before its checkpoint, what that had not counted in its own.
func Together(counters []*Counter, now []report.State) error {
	for i, hearer := range now {
		heard := Slept(hearer, counters[i].Before).Heard
		for j, told := range now {
			if hearer.Env["COUNTER_PEER"] != pods.PeerAddress(counters[j].Port) {
				continue
			}
			count := Slept(told, counters[j].Before).Count
			if err := fixture.First(
				fixture.Expect(heard > 0, fmt.Sprintf("port %d has heard from port %d before its checkpoint", counters[i].Port, counters[j].Port), "nothing"),
				fixture.Expect(heard <= count, fmt.Sprintf("all containers were frozen at one moment: port %d had counted as far as port %d had heard, %d",
					counters[j].Port, counters[i].Port, heard), count),
			); err != nil {
				return err
			}
		}
	}
	return nil
}

// Apart checks that two living pods that go on from one checkpoint, two restores of it or one and its source, do so each
// by itself: what one writes into a directory is not there in the other, and each has stood still at a time of its own.
func (c *Checks) Apart(a, b *corev1.Pod, before report.State, dirs ...string) {
	c.Helper()
	for _, pair := range [][2]*corev1.Pod{{a, b}, {b, a}} {
		for _, dir := range dirs {
			path := dir + "/written-by-" + pair[0].Name
			c.Write(pair[0], pods.CounterPort, path, pair[0].Name)
			_, err := c.TryGet(c.Ctx, pair[1], pods.CounterPort, "/read", map[string]string{"path": path})
			c.About(pair[1])
			c.Check(fixture.NotThere(err, fmt.Sprintf("%s, which pod %s wrote, in pod %s", path, pair[0].Name, pair[1].Name)))
		}
	}
	c.Check(Diverged(c.State(a, pods.CounterPort), c.State(b, pods.CounterPort), before))
}

// Diverged is nil when two states are of processes that each went on from one checkpoint by itself.
func Diverged(a, b, before report.State) error {
	at := Slept(a, before).To
	return fixture.Expect(!at.Equal(Slept(b, before).To), "two pods of one checkpoint go on from it each at a time of its own", at)
}

// Slept is the longest time that a process stood still since the state before its checkpoint: between its checkpoint and
// its restore.
func Slept(now, before report.State) report.Pause {
	longest := report.Pause{}
	for _, p := range now.Pauses {
		if p.Count >= before.Count && p.Length() > longest.Length() {
			longest = p
		}
	}
	return longest
}

// still is how long the original of a checkpoint may stand still. A dump takes a hundredth of this; a starved machine was
// seen to take half.
const still = 10 * time.Second

// Briefly is nil when a counter was never held still for long.
func Briefly(m *Counter) error {
	for _, pause := range m.Last.Pauses {
		if err := fixture.Expect(pause.Length() < stretch.Limit(still), fmt.Sprintf("the source of a checkpoint stands still for less than %s", stretch.Limit(still)), pause.Length()); err != nil {
			return err
		}
	}
	return nil
}

// Intact is nil when every file that a counter holds open is whole.
func Intact(state report.State) error {
	for _, j := range state.Journals {
		if err := fixture.Expect(j.Error == "", fmt.Sprintf("%s has a line for each count from 1 to %d, through the descriptor held since the start", j.Path, state.Count), j.Error); err != nil {
			return err
		}
	}
	return nil
}
