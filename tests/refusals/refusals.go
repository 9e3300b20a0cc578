// Package refusals are restores that must not happen: what is wrong, how it is brought about from outside, and what the
// answer has to say.
package refusals

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

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

// within is how long a refusal may take, from the request to the action's end.
const within = 10 * time.Second

// Refusals are those of one case.
type Refusals struct {
	*steps.Steps
	nodes *nodes.Nodes
	// node is where the case's pods are.
	node corev1.Node
	// last is how the last restore was refused.
	last string
}

// New are the refusals of a case, in a k3d cluster.
func New(s *steps.Steps) *Refusals {
	s.Helper()
	r := &Refusals{Steps: s}
	var err error
	r.nodes, err = nodes.Connect(s.Ctx, s.Kube, s.Env.ClusterName, s.Env.CedanaNamespace)
	s.Must(err, "reach the nodes")
	list, err := s.Kube.CoreV1().Nodes().List(s.Ctx, metav1.ListOptions{})
	s.Must(err, "list nodes")
	i := slices.IndexFunc(list.Items, func(n corev1.Node) bool { return n.Name != s.Reserved })
	s.That(i >= 0, "there is a node that no other case takes away", s.Reserved)
	r.node = list.Items[i]
	return r
}

// Run checkpoints a pod, brings about what is wrong, and wants each restore refused; then it mends that, and restores.
func Run(s *steps.Steps, c Case, table *Table) {
	s.Helper()
	r := New(s)
	image := s.CounterImage()
	if c.image != nil {
		image = c.image(r)
	}
	options := append([]pods.Option{pods.OnNode(r.node.Name)}, c.options...)
	if c.prepare != nil {
		c.prepare(r)
	}
	p := s.Start(pods.Counter(image, options...))
	taken, counters := s.CheckpointCounters(p)
	s.Remove(p)
	mend := c.spoil(r, taken, func(what string) { r.Refused(taken, what, c.code, c.says) })
	table.Add(c.Name, r)
	mend()
	restored, _ := s.RestoreCounters(taken, counters)
	s.Alone(restored)
}

// Refused asks for a restore that must not happen: its action ends in error, with the code and a reason that the pattern
// matches, and nothing is left of it.
func (r *Refusals) Refused(c *steps.Checkpoint, what, code, says string) {
	r.Helper()
	before, begin := r.Present(), time.Now()
	operation, err := r.System.Restore(r.Ctx, c.Operation, c.Pod)
	r.Must(err, "ask for a restore %s", what)
	r.Facts.Restore = operation.String()
	r.Began(operation)
	limit := stretch.Limit(within)
	ctx, cancel := context.WithTimeout(r.Ctx, limit)
	defer cancel()
	err = r.System.Wait(ctx, operation)
	took := time.Since(begin)
	var failed *steps.FailedError
	if !errors.As(err, &failed) {
		r.Unexpected(fmt.Sprintf("a restore %s ends in error within %s", what, limit), fmt.Sprintf("after %s: %v", took, err))
	}
	got, reason, _ := strings.Cut(failed.Details, ": ")
	r.That(got == code, fmt.Sprintf("a restore %s is refused with the code %s", what, code), failed.Details)
	r.That(regexp.MustCompile(says).MatchString(reason), fmt.Sprintf("the refusal of a restore %s names the cause: %s", what, says), reason)
	r.nothingOf(before, begin)
	r.Logf("a restore %s was refused after %s: %s", what, took.Round(time.Millisecond), failed.Details)
	r.last = failed.Details
}

// nothingOf waits until nothing is left of the pods that were made since a time and are none of those before it.
func (r *Refusals) nothingOf(before map[types.UID]bool, since time.Time) {
	r.Helper()
	err := wait.For(r.Ctx, "the pod of a refused restore to be gone", stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		list, err := r.Kube.CoreV1().Pods(r.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		for i := range list.Items {
			if p := &list.Items[i]; !before[p.UID] {
				return false, p.Name + " is " + pods.Describe(p), nil
			}
		}
		return true, "", nil
	})
	r.Must(err, "look for pods of a refused restore")
	var made []string
	for _, o := range r.Pods.History() {
		if !o.At.Before(since) && !before[o.UID] && !slices.Contains(made, string(o.UID)) {
			made = append(made, string(o.UID))
		}
	}
	if len(made) == 0 {
		return
	}
	err = wait.For(r.Ctx, "nothing of a refused restore to be left on "+r.node.Name, stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		left, err := r.nodes.Of(ctx, r.node.Name, made)
		return len(left) == 0, strings.Join(left, "; "), err
	})
	r.Must(err, "look for what a refused restore has left")
}

// Admission waits until the API server does with a pod, which is not made, what done wants: what it goes by it may know a
// moment later than whoever has changed it.
func (r *Refusals) Admission(what string, change func(*corev1.Pod), done func(*corev1.Pod, error) bool) {
	r.Helper()
	err := wait.For(r.Ctx, "the API server to admit "+what, stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		trial := pods.Nginx(r.Env.ImageNginx)
		change(trial)
		admitted, err := r.Kube.CoreV1().Pods(r.Namespace).Create(ctx, trial, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return done(admitted, err), fmt.Sprintf("%v, limits %v", err, admitted.Spec.Containers), nil
	})
	r.Must(err, "wait for admission")
}
