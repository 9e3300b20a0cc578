package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Kept is nil when one kind of state is whole in the restored pod, the same as before its checkpoint, and going on. It is
// seen three times: before the checkpoint, when the pod was restored, and some time later.
func Kept(name string, before, restored, later report.State) error {
	was, is, on := before.Kinds[name], restored.Kinds[name], later.Kinds[name]
	for _, look := range []struct {
		when string
		kind report.Kind
	}{{"at once", is}, {"after it has run for a while", on}} {
		if err := fixture.Expect(look.kind.Error == "", fmt.Sprintf("the state of kind %s is whole in the restored pod, %s", name, look.when), look.kind.Error); err != nil {
			return err
		}
		for fact, want := range was.Values {
			got, ok := look.kind.Values[fact]
			if err := fixture.Expect(ok && got == want, fmt.Sprintf("%s: %s is %s in the restored pod, %s", name, fact, want, look.when), got); err != nil {
				return err
			}
		}
	}
	for what, n := range was.Progress {
		if err := fixture.First(
			fixture.Expect(is.Progress[what] >= n, fmt.Sprintf("%s: %s is at least %d in the restored pod, as before the checkpoint", name, what, n), is.Progress[what]),
			fixture.Expect(on.Progress[what] > is.Progress[what], fmt.Sprintf("%s: %s goes on from %d", name, what, is.Progress[what]), on.Progress[what]),
		); err != nil {
			return err
		}
	}
	return nil
}

// Kept checks one kind of state, see [Kept].
func (c *Checks) Kept(name string, before, restored, later report.State) {
	c.Helper()
	c.Check(Kept(name, before, restored, later))
	if why, no := before.Kinds[name].Values["no extended attributes"]; no {
		c.Logf("%s: extended attributes were not looked at: the machine's file system refused to set one (%s)", name, why)
	}
}

// TimersFired waits until the timers that fire once, set for a time, have all done so, and returns the state then. That
// they have not is for the caller to check: there may be more to look at.
func (c *Checks) TimersFired(p *corev1.Pod, once time.Duration) report.State {
	c.Helper()
	var now report.State
	err := wait.For(c.Ctx, fmt.Sprintf("the timers of pod %s that fire once to do so", p.Name), once+stretch.Limit(fixture.Soon), func(context.Context) (bool, string, error) {
		now = c.State(p, pods.CounterPort)
		done := true
		for _, at := range now.Kinds["timers"].Once {
			done = done && at > 0
		}
		return done, fmt.Sprintf("fired at counts %v, 0 is not yet; count %d", now.Kinds["timers"].Once, now.Count), nil
	}, wait.Every(250*time.Millisecond))
	if err != nil {
		// For the subtest to say: the other kinds are still to be looked at.
		c.Logf("%v", err)
	}
	return now
}

// limitFiles are what limits a container's memory, CPU and processes, and weighs its CPU: the files of the second version of cgroups, and of the first.
var limitFiles = []string{
	"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu.weight", "/sys/fs/cgroup/pids.max",
	"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.shares", "/sys/fs/cgroup/pids/pids.max",
}

// CgroupLimits are the limits of a counter, as its process sees them, by file.
func (c *Checks) CgroupLimits(p *corev1.Pod) map[string]string {
	c.Helper()
	found := map[string]string{}
	for _, file := range limitFiles {
		content, err := c.TryGet(c.Ctx, p, pods.CounterPort, "/read", map[string]string{"path": file})
		if err == nil {
			found[file] = strings.TrimSpace(string(content))
		}
	}
	fixture.Equal(c, "the number of limits in the cgroup of pod "+p.Name+": memory, CPU, its weight, processes", 4, len(found))
	return found
}

// Confinement is what a counter's process may not do, from /proc/PID/status: its filters of system calls, and its capabilities.
func (c *Checks) Confinement(p *corev1.Pod) map[string]string {
	c.Helper()
	found := map[string]string{}
	for line := range strings.Lines(c.Read(p, pods.CounterPort, "/proc/self/status")) {
		name, value, _ := strings.Cut(line, ":")
		if name == "NoNewPrivs" || strings.HasPrefix(name, "Seccomp") || strings.HasPrefix(name, "Cap") {
			found[name] = strings.TrimSpace(value)
		}
	}
	return found
}

// unconfined is the profile of a process that AppArmor lets do everything.
const unconfined = "unconfined"

// AppArmorProfile is that of a counter's process, with its mode; "unconfined" also where the kernel has no AppArmor.
func (c *Checks) AppArmorProfile(p *corev1.Pod) string {
	c.Helper()
	const file = "/proc/self/attr/apparmor/current"
	content, err := c.TryGet(c.Ctx, p, pods.CounterPort, "/read", map[string]string{"path": file})
	switch {
	case err == nil:
		return strings.TrimSpace(string(content))
	case !strings.Contains(err.Error(), "invalid argument"): // a kernel that has AppArmor, and has not turned it on
		c.Check(fixture.NotThere(err, file))
	}
	return unconfined
}

// CgroupV1 reports whether a pod's node has cgroups of the first version.
func (c *Checks) CgroupV1(p *corev1.Pod) bool {
	c.Helper()
	_, err := c.TryGet(c.Ctx, p, pods.CounterPort, "/read", map[string]string{"path": "/sys/fs/cgroup/cgroup.controllers"})
	if err != nil {
		c.Check(fixture.NotThere(err, "/sys/fs/cgroup/cgroup.controllers"))
	}
	return err != nil
}
