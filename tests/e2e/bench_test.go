//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/measured"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/nodes"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

const (
	// byHandMiB is the memory with which a checkpoint has its budget against runc's by hand.
	byHandMiB    = 1024
	byHandBudget = 1.2
	// togetherBudget is for one of 100 pods at once, against one alone.
	togetherBudget = 2

	byHand     = "runc checkpoint by hand"
	frozenTime = "checkpoint: pod frozen"
	podStart   = "start: create to Ready"
	perPod     = ", for each pod"
)

// What a checkpoint and a restore cost over the memory that a pod has in use.
func TestBenchMemory(t *testing.T) {
	b := newBench(t, "memory", "memory in MiB")
	for _, mib := range []int{16, 64, 256, byHandMiB, 4096} {
		b.at(strconv.Itoa(mib), func(s *steps.Steps, at string) {
			b.needRoom(s, at, mib)
			p := pods.Counter(s.CounterImage(), pods.Memory(mib))
			if mib == byHandMiB {
				b.rounds(s, at, p, steps.CheckpointOptions{}, b.byHand)
				return
			}
			b.rounds(s, at, p, steps.CheckpointOptions{})
		})
	}
	if hand := b.times.GetAt(byHand, strconv.Itoa(byHandMiB)); hand != nil {
		b.within(checkpointTime, strconv.Itoa(byHandMiB), 1, byHandBudget, "runc's by hand of the same data", hand.Median())
	}
}

// The same over the number of a pod's containers, of 16 MiB each.
func TestBenchContainers(t *testing.T) {
	b := newBench(t, "containers", "containers")
	for _, n := range []int{1, 2, 4, 8} {
		b.at(strconv.Itoa(n), func(s *steps.Steps, at string) {
			p := pods.New("counters")
			for i := range n {
				pods.CounterContainer(fmt.Sprintf("counter-%d", i), s.CounterImage(), int32(pods.CounterPort+i))(p)
				pods.Memory(16)(p)
			}
			b.rounds(s, at, p, steps.CheckpointOptions{})
		})
	}
}

// The same over the compression of what is stored: of 64 MiB of random bytes, which none makes smaller.
func TestBenchCompression(t *testing.T) {
	b := newBench(t, "compression", "compression")
	for _, compression := range []string{"none", "lz4", "zstd", "gzip", "zlib"} {
		b.at(compression, func(s *steps.Steps, at string) {
			b.rounds(s, at, pods.Counter(s.CounterImage(), pods.Memory(64)), steps.CheckpointOptions{Compression: compression})
		})
	}
}

// The same over the number of pods at once. All are checkpointed at once, deleted and restored at once.
func TestBenchPods(t *testing.T) {
	b := newBench(t, "pods", "pods at once")
	const most = 100
	for _, n := range []int{1, 10, 50, most} {
		b.at(strconv.Itoa(n), func(s *steps.Steps, at string) {
			b.needPods(s, at, n)
			b.together(s, at, n)
		})
	}
	for _, name := range []string{checkpointTime, restoreTime} {
		if one := b.times.GetAt(name, "1"); one != nil {
			b.within(name, strconv.Itoa(most), most, togetherBudget, "one pod alone", one.Median())
		}
	}
}

// bench is one series.
type bench struct {
	*steps.Steps
	name  string
	times measured.Times
}

func newBench(t *testing.T, name, x string) *bench {
	t.Helper()
	return &bench{Steps: beginAlone(t), name: "bench-" + name, times: measured.Times{X: x}}
}

// at takes the measurements for one place on the axis. They are kept at once: the next place may be one too many for the time
// that the run has.
func (b *bench) at(place string, do func(s *steps.Steps, place string)) {
	b.Helper()
	b.Part(place, func(s *steps.Steps) {
		s.Cleanup(func() {
			b.clear(s)
			s.Report(b.name, &b.times)
		})
		do(s, place)
	})
}

// clear removes what a place that failed has left: the next one is to be measured by itself.
func (b *bench) clear(s *steps.Steps) {
	if !s.Failed() {
		return
	}
	ctx := context.WithoutCancel(s.Ctx)
	err := s.Kube.CoreV1().Pods(s.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	if err == nil {
		err = wait.For(ctx, "the pods of "+s.Name()+" to be gone", s.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
			left := s.Pods.List()
			return len(left) == 0, pods.Names(left), nil
		}, wait.Every(fixture.Look))
	}
	if err != nil {
		s.Errorf("remove what is left: %v", err)
	}
}

// within notes what a quantity costs in parts of a base, for each of n, and fails where that is over the budget.
func (b *bench) within(name, at string, n int, budget float64, of string, base time.Duration) {
	b.Helper()
	took := b.times.GetAt(name, at)
	if took == nil {
		return
	}
	each := took.Median() / time.Duration(n)
	defer b.Report(b.name, &b.times)
	b.times.Note("%s at %s: %s, %.2f times %s (%s); the budget is %.1f times", name, at, each.Round(time.Millisecond), float64(each)/float64(base), of, base.Round(time.Millisecond), budget)
	b.Within(name+" at "+at, each, budget, of, base)
}

// skip leaves a place out and says why beside the figures.
func (b *bench) skip(s *steps.Steps, at, format string, args ...any) {
	s.Helper()
	reason := fmt.Sprintf(format, args...)
	b.times.Note("not here: %s %s: %s", at, b.times.X, reason)
	s.Skip(reason)
}

// rounds checkpoints, deletes and restores one pod again and again.
func (b *bench) rounds(s *steps.Steps, at string, p *corev1.Pod, o steps.CheckpointOptions, before ...func(s *steps.Steps, at string, p *corev1.Pod)) {
	s.Helper()
	p, cold := timedStart(s, p)
	b.times.AddAt(podStart, at, cold)
	for round := range s.Env.Samples {
		// A part, so that what it has stored is given up at its end.
		s.Part(fmt.Sprintf("round %d", round+1), func(s *steps.Steps) {
			was := s.State(p, pods.CounterPort)
			for _, do := range before {
				do(s, at, p)
			}
			c := s.CheckpointWith(p, o)
			b.times.AddAt(checkpointTime, at, c.Took)
			if freeze := c.Records[0].Freeze; freeze > 0 {
				b.times.AddAt(frozenTime, at, freeze)
			}
			s.Remove(p)
			r := s.Restore(c)
			b.times.AddAt(restoreTime, at, r.Took())
			s.Same(was, s.State(r.Pod, pods.CounterPort))
			p = r.Pod
		})
		if s.Failed() {
			return // the pod is not what the next round would have measured
		}
	}
	s.Remove(p)
}

// byHand takes the same checkpoint with the node's runc.
func (b *bench) byHand(s *steps.Steps, at string, p *corev1.Pod) {
	s.Helper()
	if s.Env.ClusterName == "" {
		return // the nodes are other people's
	}
	n, err := nodes.Connect(s.Ctx, s.Kube, s.Env.ClusterName, s.Env.CedanaNamespace)
	s.Must(err, "reach the nodes")
	_, id, _ := strings.Cut(s.Pods.Get(p.UID).Status.ContainerStatuses[0].ContainerID, "://")
	took, err := n.Dump(s.Ctx, p.Spec.NodeName, s.Env.RuncRoot, id)
	s.Must(err, "checkpoint pod %s by hand", p.Name)
	b.times.AddAt(byHand, at, took)
}

// together checkpoints, deletes and restores n pods at once, again and again.
func (b *bench) together(s *steps.Steps, at string, n int) {
	s.Helper()
	begin := time.Now()
	list := make([]*corev1.Pod, n)
	for i := range list {
		// Without requests: as many as there are would not be scheduled on a small machine.
		list[i] = s.Create(pods.Counter(s.CounterImage(), pods.Named(fmt.Sprintf("counter-%d", i)), withoutRequests))
	}
	for i, p := range list {
		list[i] = s.Ready(p)
	}
	b.times.AddAt(podStart, at, time.Since(begin))
	for range s.Env.Samples {
		nonces := b.nonces(s, list)
		begin := time.Now()
		taken := atOnce(s, list, "checkpoint", func(ctx context.Context, p *corev1.Pod) (steps.Operation, error) {
			return s.System.Checkpoint(ctx, p, steps.CheckpointOptions{})
		})
		b.add(checkpointTime, at, n, time.Since(begin))
		for _, o := range taken {
			s.Cleanup(func() { s.Deprecate(o) })
		}
		atOnce(s, list, "delete", func(ctx context.Context, p *corev1.Pod) (steps.Operation, error) {
			return steps.Operation{}, s.TryRemove(ctx, p)
		})
		of := map[types.UID]steps.Operation{}
		for i, p := range list {
			of[p.UID] = taken[i]
		}
		others := s.Present()
		begin = time.Now()
		atOnce(s, list, "restore", func(ctx context.Context, p *corev1.Pod) (steps.Operation, error) {
			return s.System.Restore(ctx, of[p.UID], p)
		})
		list = b.restored(s, n, others)
		var last time.Time
		for _, p := range list {
			if at := s.Pods.ReadyAt(p.UID); at.After(last) {
				last = at
			}
		}
		b.add(restoreTime, at, n, last.Sub(begin))
		fixture.Equal(s, "the nonces of the restored pods", strings.Join(nonces, " "), strings.Join(b.nonces(s, list), " "))
	}
	atOnce(s, list, "delete", func(ctx context.Context, p *corev1.Pod) (steps.Operation, error) {
		return steps.Operation{}, s.TryRemove(ctx, p)
	})
}

// add adds what n pods took at once, and what that is for each.
func (b *bench) add(name, at string, n int, took time.Duration) {
	b.times.AddAt(name, at, took)
	b.times.AddAt(name+perPod, at, took/time.Duration(n))
}

// atOnce does one thing to all pods at once and waits until the operations that it began have ended well.
func atOnce(s *steps.Steps, list []*corev1.Pod, what string, do func(context.Context, *corev1.Pod) (steps.Operation, error)) []steps.Operation {
	s.Helper()
	operations, errs := make([]steps.Operation, len(list)), make([]error, len(list))
	var group sync.WaitGroup
	for i, p := range list {
		group.Go(func() {
			if operations[i], errs[i] = do(s.Ctx, p); errs[i] == nil && !operations[i].IsZero() {
				errs[i] = s.System.Wait(s.Ctx, operations[i])
			}
		})
	}
	group.Wait()
	for i, err := range errs {
		s.Must(err, "%s pod %s, one of %d at once", what, list[i].Name, len(list))
	}
	return operations
}

// restored are the n new pods, once all are Ready.
func (b *bench) restored(s *steps.Steps, n int, others map[types.UID]bool) (list []*corev1.Pod) {
	s.Helper()
	err := wait.For(s.Ctx, fmt.Sprintf("%d restored pods to be Ready", n), s.Env.RestoreTimeout.Duration, func(context.Context) (bool, string, error) {
		list = slices.DeleteFunc(s.Pods.List(), func(p *corev1.Pod) bool { return others[p.UID] || !pods.IsReady(p) })
		return len(list) == n, fmt.Sprintf("%d are Ready", len(list)), nil
	}, wait.Every(fixture.Look))
	s.Must(err, "restore %d pods at once", n)
	return list
}

// nonces are those of the pods' counters, sorted: who they are.
func (b *bench) nonces(s *steps.Steps, list []*corev1.Pod) (all []string) {
	s.Helper()
	for _, p := range list {
		all = append(all, s.State(p, pods.CounterPort).Nonce)
	}
	slices.Sort(all)
	return all
}

func withoutRequests(p *corev1.Pod) {
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].Resources = corev1.ResourceRequirements{}
	}
}

// needRoom skips a pod whose memory the nodes cannot hold, or whose checkpoint: on the node, at the propagator, which may be
// the same machine, and once more for the restore.
func (b *bench) needRoom(s *steps.Steps, at string, mib int) {
	s.Helper()
	list, err := s.Kube.CoreV1().Nodes().List(s.Ctx, metav1.ListOptions{})
	s.Must(err, "list nodes")
	const spareMiB, copies = 1024, 4
	for _, n := range list.Items {
		body, err := s.Kube.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/" + n.Name + "/proxy/stats/summary").DoRaw(s.Ctx)
		s.Must(err, "ask node %s how much memory and disk it has left", n.Name)
		var left struct {
			Node struct {
				Memory, Fs struct{ AvailableBytes int64 }
			}
		}
		s.Must(json.Unmarshal(body, &left), "read what node %s has left", n.Name)
		if have := int(left.Node.Memory.AvailableBytes >> 20); have < mib+spareMiB {
			b.skip(s, at, "needs %d MiB of memory, and node %s has %d MiB left", mib+spareMiB, n.Name, have)
		}
		if have := int(left.Node.Fs.AvailableBytes >> 20); have < copies*mib {
			b.skip(s, at, "needs %d MiB of disk, and node %s has %d MiB left", copies*mib, n.Name, have)
		}
	}
}

// needPods skips more pods than the nodes may have.
func (b *bench) needPods(s *steps.Steps, at string, n int) {
	s.Helper()
	list, err := s.Kube.CoreV1().Nodes().List(s.Ctx, metav1.ListOptions{})
	s.Must(err, "list nodes")
	all, err := s.Kube.CoreV1().Pods("").List(s.Ctx, metav1.ListOptions{})
	s.Must(err, "list pods")
	room := -len(all.Items)
	for _, node := range list.Items {
		if node.Name != s.Reserved {
			room += int(node.Status.Allocatable.Pods().Value())
		}
	}
	if room < n {
		b.skip(s, at, "the nodes have room for %d more pods", room)
	}
}
