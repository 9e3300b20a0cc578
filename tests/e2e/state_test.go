//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// shortest is how long the timers that fire once are set for at first. A checkpoint on a machine with much to do may
// take longer, so it is taken again with longer ones until they have not fired.
const shortest = 8 * time.Second

// One pod has every kind of state, one checkpoint is taken of it, and one restored pod has it all. A subtest is a kind:
// one that is lost does not keep the others from being looked at.
func TestRestoreState(t *testing.T) {
	s := begin(t, environment.Full)
	const kept, current = "as at the checkpoint", "as at the restore"
	s.settings("settings", kept)
	p := s.start(pods.Counter(s.counterImage(),
		pods.Memory(64), pods.Limits("500m", "320Mi"), pods.Restart(corev1.RestartPolicyNever), pods.Groups(4001, 4002),
		pods.Labelled("e2e.cedana.ai/kept", "label"), pods.Annotated("e2e.cedana.ai/kept", "annotation, and \"more\"\nin two lines"),
		pods.EmptyDir("volume", "/volume"), pods.Env("COUNTER_DIR", "/volume"), pods.MemoryDir("memory", "/memory"),
		pods.Kinds(report.ImageDir, map[string]string{"root": "/var/tree", "volume": "/volume/tree", "memory": "/memory/tree"}),
		pods.ConfigMap("settings", "/etc/e2e/config"), pods.Secret("settings", "/etc/e2e/secret"), pods.PodInfo("/etc/e2e/pod"),
		pods.WorkingDir("/srv"),
	))
	m := s.before(p, pods.CounterPort)
	for name, k := range m.before.Kinds {
		s.that(k.Error == "", "the state of kind "+name+" is whole before the checkpoint", k.Error)
	}
	limits := s.cgroup(p)
	c, once := s.checkpointArmed(p)
	s.after(p, m)
	for name, k := range m.last.Kinds {
		s.that(k.Error == "", "the state of kind "+name+" of the source is whole after the checkpoint", k.Error)
	}
	s.remove(p)
	s.settings("settings", current)

	r := s.restore(c)
	now := s.state(r.Pod, pods.CounterPort)
	s.sub("memory and count", func(s *scene) { s.survived(r, m) })
	if now.Nonce != m.before.Nonce {
		return // another process: the state that it has says nothing
	}
	s.settle(r)
	fired := s.fired(r.Pod, once)
	for _, name := range slices.Sorted(maps.Keys(m.before.Kinds)) {
		s.sub(name, func(s *scene) {
			if lost := now.Kinds[name].Error; name == "timerfd" && lost != "" && strings.HasPrefix(info(c.rows[0]).CRIU, "4.") {
				s.Skipf("CRIU 4, which made this checkpoint, loses a timerfd that has fired and was not read when it was dumped (%s): a CRIU that keeps it is needed", lost)
			}
			s.kept(name, m.before, now, fired)
		})
	}
	s.sub("timers that fire once", func(s *scene) {
		slept := slept(fired, m).Count
		s.that(len(fired.Kinds["timers"].Once) > 0, "the counter has timers", fired.Kinds)
		for name, at := range fired.Kinds["timers"].Once {
			s.that(at > slept, fmt.Sprintf("%s, set for %s before the checkpoint, fires after it, beyond count %d", name, once, slept), fmt.Sprintf("fired at count %d, 0 is never", at))
		}
	})
	s.sub("environment", func(s *scene) {
		equal(s, "the process's environment variable E2E_MARK", "kept for counter", fired.Env["E2E_MARK"])
		equal(s, "the number of its environment variables", len(m.before.Env), len(fired.Env))
	})
	s.sub("labels and annotations", func(s *scene) {
		equal(s, "the restored pod's label", "label", r.Labels["e2e.cedana.ai/kept"])
		equal(s, "the restored pod's annotation", p.Annotations["e2e.cedana.ai/kept"], r.Annotations["e2e.cedana.ai/kept"])
	})
	s.sub("limits", func(s *scene) {
		if lost := pods.LostLimits(p, r.Pod); len(lost) > 0 {
			s.fail("the restored pod's spec has the limits and requests of its original", "lost: "+strings.Join(lost, "; "))
		}
		for file, want := range limits {
			equal(s, "the limit in the restored container's "+file, want, s.cgroup(r.Pod)[file])
		}
	})
	s.sub("config map and secret", func(s *scene) {
		equal(s, "the config map's file in the restored pod", current, s.read(r.Pod, pods.CounterPort, "/etc/e2e/config/key"))
		equal(s, "the secret's file in the restored pod", current, s.read(r.Pod, pods.CounterPort, "/etc/e2e/secret/key"))
	})
	s.sub("downward API", func(s *scene) {
		equal(s, "the pod's name, as the restored process reads it in its volume", r.Name, s.read(r.Pod, pods.CounterPort, "/etc/e2e/pod/name"))
		s.that(strings.Contains(s.read(r.Pod, pods.CounterPort, "/etc/e2e/pod/labels"), `e2e.cedana.ai/kept="label"`),
			"the volume has the pod's labels", s.read(r.Pod, pods.CounterPort, "/etc/e2e/pod/labels"))
	})
	s.sub("standard output", func(s *scene) { s.speaks(r.Pod, "counter", fired) })
	s.sub("exit code and termination message", func(s *scene) {
		const code, message = 37, "last words of a restored process"
		s.get(r.Pod, pods.CounterPort, "/exit", map[string]string{"code": strconv.Itoa(code), "message": message})
		ended := s.ended(r.Pod, "counter")
		equal(s, "the exit code", code, int(ended.ExitCode))
		equal(s, "the termination message", message, ended.Message)
		s.about(r.Pod)
	})
}

// sub runs a part of a test under a name of its own, with what the test knows so far.
func (s *scene) sub(name string, f func(*scene)) {
	s.Helper()
	s.Run(name, func(t *testing.T) {
		part := *s
		part.T = t
		f(&part)
	})
}

// settings makes or changes a config map and a secret of one name, with one key.
func (s *scene) settings(name, content string) {
	s.Helper()
	meta := metav1.ObjectMeta{Name: name}
	config := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": content}}
	secret := &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"key": content}}
	core := kube.CoreV1()
	_, err := core.ConfigMaps(s.namespace).Create(s.ctx, config, metav1.CreateOptions{})
	if err == nil {
		_, err = core.Secrets(s.namespace).Create(s.ctx, secret, metav1.CreateOptions{})
		s.must(err, "create secret %s", name)
		return
	}
	_, err = core.ConfigMaps(s.namespace).Update(s.ctx, config, metav1.UpdateOptions{})
	s.must(err, "change config map %s", name)
	_, err = core.Secrets(s.namespace).Update(s.ctx, secret, metav1.UpdateOptions{})
	s.must(err, "change secret %s", name)
}

// kept checks one kind of state: whole, the same as before, and going on.
func (s *scene) kept(name string, before, restored, later report.State) {
	s.Helper()
	was, is, on := before.Kinds[name], restored.Kinds[name], later.Kinds[name]
	for when, k := range map[string]report.Kind{"at once": is, "after it has run for a while": on} {
		s.that(k.Error == "", fmt.Sprintf("the state of kind %s is whole in the restored pod, %s", name, when), k.Error)
		for fact, want := range was.Values {
			got, ok := k.Values[fact]
			s.that(ok && got == want, fmt.Sprintf("%s: %s is %s in the restored pod, %s", name, fact, want, when), got)
		}
	}
	for what, n := range was.Progress {
		s.that(is.Progress[what] >= n, fmt.Sprintf("%s: %s is at least %d in the restored pod, as before the checkpoint", name, what, n), is.Progress[what])
		s.that(on.Progress[what] > is.Progress[what], fmt.Sprintf("%s: %s goes on from %d", name, what, is.Progress[what]), on.Progress[what])
	}
	if why, no := was.Values["no extended attributes"]; no {
		s.note("%s: extended attributes were not looked at: the machine's file system refused to set one (%s)", name, why)
	}
}

// checkpointArmed takes a checkpoint while the timers that fire once are set and have not fired, and returns for how long
// they were set.
func (s *scene) checkpointArmed(p *corev1.Pod) (*checkpoint, time.Duration) {
	s.Helper()
	for once := shortest; ; once *= 2 {
		s.get(p, pods.CounterPort, "/arm", map[string]string{"after": once.String()})
		c := s.checkpoint(p)
		early := slices.ContainsFunc(slices.Collect(maps.Values(s.state(p, pods.CounterPort).Kinds["timers"].Once)), func(at uint64) bool { return at > 0 })
		if !early {
			return c, once
		}
		s.that(once <= env.CheckpointTimeout.Duration, "a checkpoint is ready before timers fire that were set for longer than E2E_CHECKPOINT_TIMEOUT", once)
	}
}

// fired waits until the timers that fire once have all done so, and returns the state then.
func (s *scene) fired(p *corev1.Pod, once time.Duration) report.State {
	s.Helper()
	var now report.State
	err := wait.For(s.ctx, fmt.Sprintf("the timers of pod %s that fire once to do so", p.Name), once+soon, func(context.Context) (bool, string, error) {
		now = s.state(p, pods.CounterPort)
		done := true
		for _, at := range now.Kinds["timers"].Once {
			done = done && at > 0
		}
		return done, fmt.Sprintf("fired at counts %v, 0 is not yet; count %d", now.Kinds["timers"].Once, now.Count), nil
	}, wait.Every(250*time.Millisecond))
	if err != nil {
		// For the subtest to say: the other kinds are still to be looked at.
		s.note("%v", err)
	}
	return now
}

// cgroup is what limits the container, as its process sees it: the files of the first or the second version of cgroups.
func (s *scene) cgroup(p *corev1.Pod) map[string]string {
	s.Helper()
	found := map[string]string{}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"} {
		content, err := s.tryGet(s.ctx, p, pods.CounterPort, "/read", map[string]string{"path": file})
		if err == nil {
			found[file] = strings.TrimSpace(string(content))
		}
	}
	equal(s, "the number of limits in the cgroup of pod "+p.Name+", memory and CPU,", 2, len(found))
	for file, value := range found {
		s.that(slices.Contains([]string{"50000 100000", "50000", strconv.Itoa(320 << 20)}, value), file+" has the limit of the pod's spec: 500m or 320Mi", value)
	}
	return found
}

// cgroupV1 reports whether a pod's node has cgroups of the first version.
func (s *scene) cgroupV1(p *corev1.Pod) bool {
	s.Helper()
	_, err := s.tryGet(s.ctx, p, pods.CounterPort, "/read", map[string]string{"path": "/sys/fs/cgroup/cgroup.controllers"})
	if err != nil {
		s.absent(err, "/sys/fs/cgroup/cgroup.controllers")
	}
	return err != nil
}

// ended waits until a container has ended, and says how.
func (s *scene) ended(p *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	s.Helper()
	var ended *corev1.ContainerStateTerminated
	err := wait.For(s.ctx, fmt.Sprintf("container %s of pod %s to end", container, p.Name), soon, func(context.Context) (bool, string, error) {
		now := s.pods.Get(p.UID)
		ended = pods.Ended(now, container)
		return ended != nil, pods.Describe(now), nil
	}, wait.Every(look))
	s.must(err, "watch container %s end", container)
	return ended
}
