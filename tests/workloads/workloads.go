// Package workloads has real programs, each with a load on it, to be seen through a checkpoint and a restore. Each knows what only
// a process that was not interrupted can keep, and what a restore loses that loses data.
package workloads

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Workload is a program under load in a pod of one container. All commands are a shell's, in that container.
type Workload struct {
	Name string
	// Program is the lab's name of its image; Public is an image that a cluster can pull in its place.
	Program, Public string
	// Script is what the container runs: the program and its clients. It makes the file /tmp/ready when the load is on.
	Script string
	// User and PublicUser are whom it runs as from its image and from the public one; 0 is root. The lab's image of a program that
	// is nothing for root runs as root all the same where CRIU can dump no other user's processes.
	User, PublicUser int64
	// Version prints the program's.
	Version string
	// Same prints what only the same process can print again.
	Same string
	// Count prints a number that grows while the load is on: the restored pod goes on from the checkpoint's.
	Count string
	// At prints what the program had at count $N: the original and the restored pod, which come to it each by itself, have the
	// same. Empty for a program that does not compute.
	At string
	// End is what can be seen only now that the pod is restored, and Want what it prints.
	End, Want string
	// Refused is what the reason has that the local backend gives for not checkpointing it; empty for what can be checkpointed.
	Refused string
	// Needs is the file of a kernel's setting without which, or where it is 0, nothing would be refused.
	Needs string
	// Checked is all of this in words.
	Checked string
}

// Data is where a workload writes: a volume of its pod.
const Data = "/data"

// Image is that of a workload: one that was asked for, the lab's, or the public one. Empty where the lab has made none.
func (w Workload) Image(env *environment.Environment) string {
	image := cmp.Or(env.Images[w.Program], env.Programs[w.Program])
	if image == "" && env.ClusterName == "" {
		return w.Public
	}
	return image
}

// Pod is the workload's. rootOnly: CRIU can dump no other user's processes here.
func (w Workload) Pod(image string, lab, rootOnly bool) *corev1.Pod {
	p := pods.New(w.Name, pods.Shell("workload", image, w.Script), pods.EmptyDir("data", Data))
	user := w.PublicUser
	if lab {
		user = w.User
	}
	if user != 0 && (!lab || !rootOnly) {
		pods.User(user, user)(p)
		pods.OwnedBy(user)(p)
	}
	return p
}

// Row is what a run has found of a workload.
type Row struct {
	Workload, Version   string
	MemoryMiB           int
	Checkpoint, Restore time.Duration
	// ColdStart is from the new pod's request, and GoesOn from the restore's, until the program does its work.
	ColdStart, GoesOn time.Duration
	ArchiveMiB        float64
	Checked           string
	Verdict           string
}

// Run sees a workload through a checkpoint, its deletion and a restore, and fills in the row as far as it comes.
func Run(s *steps.Steps, w Workload, image string, row *Row) {
	s.Helper()
	*row = Row{Workload: w.Name, Checked: w.Checked, Verdict: "**failed**"}
	rootOnly, err := capabilities.HostLacksSysResource()
	s.Must(err, "look at this machine's capabilities")
	asked := time.Now()
	p := s.Start(w.Pod(image, image == s.Env.Programs[w.Program], rootOnly))
	grows(s, w, p, 0)
	row.ColdStart = time.Since(asked)
	row.Version = line(s.Shell(p, w.Version))
	same, before := s.Shell(p, w.Same), count(s, w, p)
	s.That(same != "", w.Name+" tells what only the same process can tell again", "nothing")
	row.MemoryMiB = memory(s, p)

	if w.Refused != "" {
		refused(s, w, p)
		fixture.Equal(s, "what only the same process can tell, of the source of a refused checkpoint,", same, s.Shell(p, w.Same))
		grows(s, w, p, count(s, w, p))
		row.Verdict = "refused: " + w.Refused
		return
	}
	c := s.Checkpoint(p)
	after := count(s, w, p)
	last := grows(s, w, p, after)
	fixture.Equal(s, "what only the same process can tell, of the source after its checkpoint,", same, s.Shell(p, w.Same))
	at := ""
	if w.At != "" {
		at = s.Shell(p, atCount(w.At, last))
		s.That(at != "", fmt.Sprintf("%s tells what it had at count %d", w.Name, last), "nothing")
	}
	row.Checkpoint = c.Took
	for _, r := range c.Records {
		row.ArchiveMiB += float64(r.Size) / (1 << 20)
	}
	s.Remove(p)

	asked = time.Now()
	r := s.Restore(c)
	row.Restore = r.Took()
	first := count(s, w, r.Pod)
	grows(s, w, r.Pod, first)
	row.GoesOn = time.Since(asked)
	s.That(first >= before, fmt.Sprintf("the restored pod goes on from the checkpoint, count %d to %d", before, after), first)
	fixture.Equal(s, "what only the same process can tell, of the restored pod,", same, s.Shell(r.Pod, w.Same))
	if w.At != "" {
		grows(s, w, r.Pod, last)
		fixture.Equal(s, fmt.Sprintf("what the restored pod computed at count %d, as the original", last), at, s.Shell(r.Pod, atCount(w.At, last)))
	}
	if w.End != "" {
		fixture.Equal(s, "what "+w.Name+" says in the end", w.Want, line(s.Shell(r.Pod, w.End)))
	}
	s.Settle(r)
	row.Verdict = "survived"
}

const heading = `# Real programs

Written by ` + "`SUITE=workloads go tool mage e2e`" + ` to ` + "`artifacts/cases/workloads.md`" + `, and copied from there. Each program is under load in a pod of its own, is checkpointed, deleted and
restored. *Checked* is what has to be as in the uninterrupted process: what a fresh start has not, and what shows lost data. Memory is what all processes have
resident; the archive is not compressed. *Cold start* is from the request for a new pod, and *goes on* from the request for a restore, until the program does
its work (a language model's next token, a trained step, an answer to a client). Debian's packages are the source of all but what an existing cluster pulls (` + "`E2E_IMAGES`" + `).

`

// refused asks for a checkpoint that has to end in an error that names the reason.
func refused(s *steps.Steps, w Workload, p *corev1.Pod) {
	s.Helper()
	if s.Env.Backend != settings.BackendLocal {
		s.Skip("is a limit of the local backend's: " + w.Refused)
	}
	if w.Needs != "" && line(s.Shell(p, "cat "+w.Needs+" 2> /dev/null || :")) != "1" {
		s.Skip("needs a kernel whose " + w.Needs + " is 1")
	}
	operation := s.Ask(p, steps.CheckpointOptions{})
	err := s.System.Wait(s.Ctx, operation)
	var failed *steps.FailedError
	s.That(errors.As(err, &failed) && strings.Contains(failed.Error(), w.Refused), "the checkpoint of "+w.Name+" ends in an error that names "+w.Refused, err)
	now := s.Pods.Get(p.UID)
	s.That(now != nil && pods.IsReady(now) && pods.Restarts(now) == 0, "the source of a refused checkpoint is Ready with 0 restarts", pods.Describe(now))
}

func atCount(command string, n int) string { return fmt.Sprintf("N=%d; %s", n, command) }

func line(text string) string { return strings.Join(strings.Fields(text), " ") }

// count is the workload's count now.
func count(s *steps.Steps, w Workload, p *corev1.Pod) int {
	s.Helper()
	text := line(s.Shell(p, w.Count))
	n, err := strconv.Atoi(text)
	s.That(err == nil, w.Name+" has a count", fmt.Sprintf("%q", text))
	return n
}

// grows waits until the workload has counted beyond a count, and returns the new one.
func grows(s *steps.Steps, w Workload, p *corev1.Pod, beyond int) (now int) {
	s.Helper()
	err := wait.For(s.Ctx, fmt.Sprintf("the count of %s to go on from %d", w.Name, beyond), stretch.Limit(fixture.Soon), func(context.Context) (bool, string, error) {
		now = count(s, w, p)
		return now > beyond, fmt.Sprintf("count %d", now), nil
	})
	s.Must(err, "watch %s", w.Name)
	return now
}

// memory is what all processes of the container have resident, in MiB; what they share counts for each.
func memory(s *steps.Steps, p *corev1.Pod) int {
	s.Helper()
	text := line(s.Shell(p, `sum=0; for f in /proc/[0-9]*/status; do while read -r k v u; do [ "$k" = VmRSS: ] && sum=$((sum+v)); done < "$f" 2>/dev/null; done; echo $sum`))
	kib, err := strconv.Atoi(text)
	s.Must(err, "read memory from %q", text)
	return kib / 1024
}

// Document is the rows as docs/workloads.md has them.
func Document(rows []*Row) string {
	var b strings.Builder
	b.WriteString(heading)
	b.WriteString("| workload | version | memory, MiB | checkpoint | restore | goes on | cold start | archive, MiB | checked | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		cold, took := r.ColdStart.Round(10*time.Millisecond).String(), "– | – | –"
		archive := "–"
		if r.Checkpoint > 0 {
			took = fmt.Sprintf("%s | %s | %s", r.Checkpoint.Round(time.Millisecond), r.Restore.Round(10*time.Millisecond), r.GoesOn.Round(10*time.Millisecond))
			archive = fmt.Sprintf("%.1f", r.ArchiveMiB)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", r.Workload, r.Version, r.MemoryMiB, took, cold, archive, r.Checked, r.Verdict)
	}
	return b.String()
}
