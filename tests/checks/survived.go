package checks

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	record "github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/tests/fixture"
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
		if err := fixture.Expect(pause.Length() < still, fmt.Sprintf("the source of a checkpoint stands still for less than %s", still), pause.Length()); err != nil {
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
