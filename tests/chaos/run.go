package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/nodes"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Budget is what a run has and what it grants.
type Budget struct {
	// Pods live through it all.
	Pods int
	// Kept checkpoints of each pod are there to restore from; older ones are deprecated.
	Kept int
	// LeftOver is how long the nodes may take to clear away what was deleted.
	LeftOver time.Duration
	// PerMinute is how many checkpoints, and how many restores, a run has to do at least in each minute on average.
	PerMinute float64
	// Excused is what part of the tasks may fail because of what was killed, from 0 to 1.
	Excused float64
	// Frozen is within what time a checkpoint that was asked for holds its pod still.
	Frozen time.Duration
}

// Run is one run.
type Run struct {
	*steps.Steps
	budget Budget
	// nodes is nil where they are not ours.
	nodes *nodes.Nodes
	// agents are the nodes that may be killed.
	agents []string
	// server is what the Checkpointer runs on, nil where it may not be killed.
	server steps.Server
	pods   []*pod

	mu sync.Mutex
	// seen are all pods that there ever were.
	seen map[types.UID]bool
	// started are all operations.
	started []steps.Operation

	begin                                         time.Time
	taken, restored, tasks, excused, killedFrozen atomic.Int64
}

// Prepare starts the pods and takes a first checkpoint of each.
func Prepare(s *steps.Steps, b Budget) *Run {
	s.Helper()
	s.AnyNode = true
	r := &Run{Steps: s, budget: b, seen: map[types.UID]bool{}}
	r.CounterImage()
	if r.Env.ClusterName != "" {
		r.prepareNodes()
	}
	if len(r.agents) == 0 {
		r.Logf("no node may be killed here: a k3d cluster with agents (E2E_AGENTS=2) has some")
	}
	for i := range b.Pods {
		r.pods = append(r.pods, &pod{number: i})
		r.pods[i].pod = r.Create(pods.Counter(r.CounterImage(), pods.Named(podName(i)), pods.Memory(16*(i%2)+8),
			pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	}
	for _, v := range r.pods {
		v.pod = r.Ready(v.pod)
		r.remember(v.pod)
		v.now = r.State(v.pod, pods.CounterPort)
		r.Must(r.checkpoint(v), "take the first checkpoint of pod %d", v.number)
	}
	// From here on everything is a round's.
	r.begin = time.Now()
	r.taken.Store(0)
	return r
}

func podName(number int) string { return fmt.Sprintf("chaos-%d", number) }

func (r *Run) prepareNodes() {
	r.Helper()
	var err error
	r.nodes, err = nodes.Connect(r.Ctx, r.Kube, r.Env.ClusterName, r.Env.CedanaNamespace)
	r.Must(err, "reach the nodes")
	list, err := r.Kube.CoreV1().Nodes().List(r.Ctx, metav1.ListOptions{})
	r.Must(err, "list nodes")
	for _, name := range fixture.Agents(list.Items) {
		// Without the manager nothing is restored: that is no state of a pod to check.
		managers, err := r.nodes.Cedana(r.Ctx, "manager", name)
		r.Must(err, "look for Cedana's manager")
		if len(managers) == 0 {
			r.agents = append(r.agents, name)
		}
		r.afterwards("bring node "+name+" back", func(ctx context.Context) error {
			return errors.Join(r.nodes.Return(ctx, name, time.Time{}), r.nodes.HelperReady(ctx, name), r.nodes.Cordon(ctx, name, false))
		})
	}
	if has, ok := r.System.(steps.HasServer); ok {
		r.server = has.Server(r.Fixture, r.nodes.Machines)
	}
	if r.server != nil {
		r.afterwards("bring the server back", r.server.Start)
	}
}

// afterwards is done in the case's cleanup, whatever became of the run.
func (r *Run) afterwards(what string, do func(ctx context.Context) error) {
	r.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Ctx), stretch.Limit(nodes.Settle))
		defer cancel()
		if err := do(ctx); err != nil {
			r.Errorf("%s: %v", what, err)
		}
	})
}

// Options are what there is to plan with.
func (r *Run) Options() Options {
	return Options{Pods: len(r.pods), Agents: len(r.agents), Propagator: r.server != nil}
}

// Play does a round: its tasks side by side, and its disruption among them. Afterwards every pod is brought back and checked.
func (r *Run) Play(round Round) {
	r.Helper()
	r.Facts.Round = round.String()
	begin := time.Now()
	r.play(round)
	r.recover()
	r.check()
	r.Logf("%s: %s", round, time.Since(begin).Round(100*time.Millisecond))
}

func (r *Run) play(round Round) {
	r.Helper()
	node := ""
	if len(r.agents) > 0 {
		node = r.agents[round.Agent]
	}
	// Where each pod was when the round began: what happens to another node is no excuse.
	where := map[int]string{}
	for _, v := range r.pods {
		where[v.number] = v.pod.Spec.NodeName
	}
	strike := func() (func() error, error) { return r.strikeAfter(round.After, round.Disruption, node) }
	if round.Disruption == KillHelperFrozen {
		strike = r.killFrozen(round, node, where)
	}
	var tasks, disruption errgroup.Group
	repair := func() error { return nil }
	disruption.Go(func() error {
		end, err := strike()
		if round.Disruption == Cordon {
			// That one lasts for the whole round.
			repair = end
			return err
		}
		return errors.Join(err, end())
	})
	for _, d := range round.Tasks {
		v := r.pods[d.Pod]
		tasks.Go(func() error {
			if err := sleep(r.Ctx, d.After); err != nil {
				return err
			}
			r.tasks.Add(1)
			err := r.do(d, v)
			if err != nil && Excuses(round.Disruption, d.Kind, where[d.Pod] == node) {
				r.excused.Add(1)
				r.Logf("%s: pod %d: excused: %v", round.Disruption, d.Pod, err)
				return nil
			}
			if err != nil {
				return fmt.Errorf("pod %d, which was on %s, %s: %w", d.Pod, where[d.Pod], d.Kind, err)
			}
			return nil
		})
	}
	disrupted, failed := disruption.Wait(), tasks.Wait()
	r.Must(errors.Join(disrupted, repair()), "make disruption and end it: %s", round.Disruption)
	r.Must(failed, "do what the round says")
}

// recover brings back the pods that a round has cost: each is restored from its newest checkpoint, and without disruption
// that has to succeed.
func (r *Run) recover() {
	r.Helper()
	for _, v := range r.pods {
		if v.pod != nil && r.Pods.Get(v.pod.UID) == nil {
			v.pod = nil
		}
	}
	// Restored by an operation whose answer did not come: one restore makes one pod, and who does not know it restores again.
	for _, p := range r.Pods.List() {
		known := slices.ContainsFunc(r.pods, func(v *pod) bool { return v.pod != nil && v.pod.UID == p.UID })
		if !known && p.DeletionTimestamp == nil {
			r.Logf("pod %s is nobody's any more", p.Name)
			r.remember(p)
			r.Must(r.remove(p), "remove pod %s", p.Name)
		}
	}
	for _, v := range r.pods {
		if v.pod == nil {
			r.Must(r.restore(v, v.saved[len(v.saved)-1]), "restore lost pod %d from its newest checkpoint", v.number)
		}
	}
}

// check checks what has to hold whenever there is no disruption.
func (r *Run) check() {
	r.Helper()
	r.ended()
	var names []string
	for _, v := range r.pods {
		r.About(v.pod)
		r.Until(v.pod, "to be Ready", pods.IsReady)
		now := r.Pods.Get(v.pod.UID)
		r.That(pods.Restarts(now) == 0, "no container was restarted", pods.Describe(now))
		v.now = r.Progresses(v.pod, v.now)
		r.Must(sameProcess(v.now, v.now), "look at the files of pod %d", v.number)
		if r.nodes != nil {
			r.Must(r.nodes.Moving(r.Ctx, v.pod.Spec.NodeName, v.pod, stretch.Limit(fixture.Soon)), "look for frozen processes of pod %s", v.pod.Name)
		}
		names = append(names, v.pod.Name)
	}
	slices.Sort(names)
	var there []string
	list, err := r.Kube.CoreV1().Pods(r.Namespace).List(r.Ctx, metav1.ListOptions{})
	r.Must(err, "list pods")
	for _, p := range list.Items {
		there = append(there, p.Name)
	}
	fixture.Equal(r, "the pods that there are", strings.Join(names, " "), strings.Join(there, " "))
}

// ended checks that every operation of the run is at an end: each was waited for, or its helper, node or server was
// killed, and then it has its deadline.
func (r *Run) ended() {
	r.Helper()
	err := wait.For(r.Ctx, "every action to be at an end", r.Env.RestoreTimeout.Duration, func(ctx context.Context) (bool, string, error) {
		list, err := r.System.Operations(ctx)
		if err != nil {
			return false, "", err
		}
		var open []string
		for _, l := range list {
			if l.Phase == steps.Running && slices.Contains(r.started, l.Operation) {
				open = append(open, l.Operation.String()+" "+l.Word)
			}
		}
		return len(open) == 0, strings.Join(open, ", "), nil
	})
	r.Must(err, "wait for the actions' end")
}

func (r *Run) remember(p *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[p.UID] = true
}

func (r *Run) began(o steps.Operation) {
	if o.IsZero() {
		return
	}
	r.mu.Lock()
	r.started = append(r.started, o)
	r.mu.Unlock()
	r.Began(o)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
