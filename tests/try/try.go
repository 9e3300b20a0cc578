// Package try sees any pod through a checkpoint, its deletion and a restore, and says on one page how it fared. Nothing is known
// of what the pod runs: it is looked at from outside, and from inside with its own shell where it has one.
package try

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// settled is for how long a pod has to have been Ready before it is looked at: what it writes then is no longer of its start.
const settled = 5 * time.Second

// Run tries one workload and adds how it fared to the page. It fails the case unless the workload survived.
func Run(s *steps.Steps, w *Workload, check string, page *Page) {
	s.Helper()
	on := page.section(w.String())
	defer func() { on.failure = s.Failure() }()
	p := w.Pod(s)
	on.done = running
	err := wait.While(s.Ctx, fmt.Sprintf("pod %s to stay Ready", p.Name), settled, func(context.Context) (bool, string, error) {
		now := s.Pods.Get(p.UID)
		return now != nil && pods.IsReady(now), pods.Describe(now), nil
	})
	s.Must(err, "start %s", w)
	for _, replaced := range w.Replaced {
		on.fact("image", "%s, in whose place another one ran (E2E_IMAGES)", replaced)
	}
	restarts := pods.Restarts(p)

	before := look(s, p, check)
	marked := mark(s, p, "before")
	c := s.Checkpoint(p)
	on.done = checkpointed
	on.told(c)
	after := look(s, p, check)
	on.row("source goes on", yes(pods.Restarts(s.Pods.Get(p.UID)) == restarts), pods.Describe(s.Pods.Get(p.UID)))
	mark(s, p, "after")
	w.Remove(s, p)
	on.done = removed

	r := s.Restore(c)
	on.done = restored
	on.fact("restore", "Ready %s after the request, on node %s", round(r.Took()), r.Spec.NodeName)
	s.StaysReady(r, steps.Steady)
	s.Alone(r)
	on.row("restarts, readiness", kept, fmt.Sprintf("0 restarts, Ready for %s without a break", steps.Steady))
	now := look(s, r.Pod, check)
	on.judge(p, before, after, now)
	on.files(s, r.Pod, marked)
	on.done = judged
	on.notKept(p)
	s.That(len(on.lost()) == 0, fmt.Sprintf("%s survives", w), "lost: "+strings.Join(on.lost(), ", "))
}

func yes(holds bool) verdict {
	if holds {
		return kept
	}
	return lost
}

// told adds what the checkpointer says of a checkpoint.
func (on *section) told(c *steps.Checkpoint) {
	on.fact("checkpoint", "ready %s after the request", round(c.Took))
	var size int64
	var frozen time.Duration
	for _, r := range c.Records {
		size, frozen = size+r.Size, max(frozen, r.Freeze)
		if r.CRIU != "" && !slices.ContainsFunc(on.facts, func(f report.Fact) bool { return f.Name == "CRIU" }) {
			on.fact("CRIU", "%s", r.CRIU)
		}
	}
	if size > 0 {
		on.fact("size", "%.1f MiB", float64(size)/(1<<20))
		on.fact("pod stood still for", "%s", round(frozen))
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// seen is what was seen of a pod at one time.
type seen struct {
	// processes of each container; the error says why they could not be seen.
	processes map[string][]process
	blind     map[string]error
	logs      map[string]logs
	// check is the output of CHECK.
	check string
}

// look looks at all containers of a pod that run as long as it does.
func look(s *steps.Steps, p *corev1.Pod, check string) seen {
	s.Helper()
	now := seen{processes: map[string][]process{}, blind: map[string]error{}, logs: map[string]logs{}}
	for _, c := range pods.LongRunning(p) {
		out, err := s.Exec(s.Ctx, p, c.Name, "sh", "-c", listProcesses)
		if err == nil {
			now.processes[c.Name], err = parseProcesses(out)
		}
		if err != nil {
			now.blind[c.Name] = err
		}
		now.logs[c.Name] = readLogs(s, p, c.Name)
	}
	if check != "" {
		now.check = runCheck(s, p, check)
	}
	return now
}

// runCheck runs CHECK in the container that kubectl would take.
func runCheck(s *steps.Steps, p *corev1.Pod, check string) string {
	s.Helper()
	container := p.Annotations["kubectl.kubernetes.io/default-container"]
	if container == "" {
		container = p.Spec.Containers[0].Name
	}
	out, err := s.Exec(s.Ctx, p, container, "sh", "-c", check)
	s.Must(err, "run the command of CHECK")
	return strings.TrimSpace(out)
}

// judge holds what was seen of the restored pod against what was seen of the original around its checkpoint.
func (on *section) judge(p *corev1.Pod, before, after, now seen) {
	for _, c := range pods.LongRunning(p) {
		of := ""
		if len(pods.LongRunning(p)) > 1 {
			of = " of " + c.Name
		}
		err := fixture.First(before.blind[c.Name], after.blind[c.Name], now.blind[c.Name])
		switch {
		case p.Spec.HostPID:
			on.row("processes"+of, unknown, "the pod shares the host's processes")
		case err != nil:
			on.row("processes"+of, unknown, "they are seen with a shell in the container: "+err.Error())
		default:
			v, text := sameProcesses(before.processes[c.Name], after.processes[c.Name], now.processes[c.Name])
			on.row("processes"+of, v, text)
		}
		v, text := goesOn(before.logs[c.Name], after.logs[c.Name], now.logs[c.Name])
		on.row("log"+of, v, text)
	}
	if before.check == "" && after.check == "" && now.check == "" {
		return
	}
	if before.check != after.check {
		on.row("CHECK", lost, fmt.Sprintf("its output changes by itself in the original: %q, then %q", before.check, after.check))
		return
	}
	if before.check != now.check {
		on.row("CHECK", lost, fmt.Sprintf("%q before, %q in the restored pod", before.check, now.check))
		return
	}
	on.row("CHECK", kept, fmt.Sprintf("%q, as before", now.check))
}

// notKept names what of the pod no checkpoint has.
func (on *section) notKept(p *corev1.Pod) {
	var outside []string
	for _, v := range p.Spec.Volumes {
		if v.PersistentVolumeClaim != nil || v.HostPath != nil || v.Ephemeral != nil || v.NFS != nil || v.CSI != nil {
			outside = append(outside, v.Name)
		}
	}
	if len(outside) > 0 {
		on.fact("not in the checkpoint", "volume %s: the restored pod has it as the original left it at its end", strings.Join(outside, ", "))
	}
}
