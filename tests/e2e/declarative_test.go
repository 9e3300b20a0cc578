//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// A pod that declares a checkpoint and is created again under its own name goes on from the newest checkpoint of that
// name, with its memory and its volume.
func TestDeclarativeSameName(t *testing.T) {
	s := begin(t)
	wanted := pods.Counter(s.CounterImage(), s.System.Declare(s.Namespace), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data"))
	p := s.Start(wanted.DeepCopy())
	checkpointUndisturbed(s, p)
	c, m := checkpointUndisturbed(s, p)
	s.Remove(p)

	r := s.RestoredByCreation(c, s.Create(wanted))
	s.LogGoesOn(r.Pod, "counter", s.Survived(r.Pod, m))
	s.StaysReady(r, steps.Steady)
}

// A pod of another name goes on from a checkpoint that was asked for by the name of its pod alone, though there is a
// newer one of another name.
func TestDeclarativeByName(t *testing.T) {
	s := begin(t)
	p := s.Create(pods.Counter(s.CounterImage(), s.System.Declare(s.Namespace)))
	other := s.Create(pods.Counter(s.CounterImage(), pods.Named("other"), s.System.Declare(s.Namespace+"-other")))
	p, other = s.Ready(p), s.Ready(other)
	checkpointUndisturbed(s, p)
	m := s.Before(p, pods.CounterPort)
	c := s.CheckpointWith(p, steps.CheckpointOptions{ByName: true})
	undisturbed(s, p, m)
	s.Before(other, pods.CounterPort)
	s.CheckpointWith(other, steps.CheckpointOptions{ByName: true})
	s.Remove(p)

	r := s.RestoredByCreation(c, s.Create(pods.Counter(s.CounterImage(), pods.Named("replica"), s.System.Declare(s.Namespace))))
	s.LogGoesOn(r.Pod, "counter", s.Survived(r.Pod, m))
	s.StaysReady(r, steps.Steady)
}

// A Deployment is scaled up while its pod runs: the new replica goes on from the checkpoint, and the pod that it was
// taken of runs on as if there were no other.
func TestDeclarativeScaleUp(t *testing.T) {
	s := begin(t)
	one := int32(1)
	template := pods.Counter(s.CounterImage(), s.System.Declare(s.Namespace), pods.EmptyDir("scratch", "/scratch"))
	api := s.Kube.AppsV1().Deployments(s.Namespace)
	_, err := api.Create(s.Ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "counters"},
		Spec:       appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: s.Template(template)},
	}, metav1.CreateOptions{})
	s.Must(err, "create deployment counters")
	p := s.Ready(s.Owned(template))
	checkpointUndisturbed(s, p)
	c, m := checkpointUndisturbed(s, p)

	_, err = api.UpdateScale(s.Ctx, "counters", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "counters", Namespace: s.Namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 2},
	}, metav1.UpdateOptions{})
	s.Must(err, "scale deployment counters to 2")
	r := s.RestoredByCreation(c, s.OwnedBeside(template, p))
	s.Survived(r.Pod, m)
	s.Apart(r.Pod, p, m.Before, "/scratch", "/var")
	s.StaysReady(r, steps.Steady)
	undisturbed(s, p, m)
	d, err := api.Get(s.Ctx, "counters", metav1.GetOptions{})
	s.Must(err, "get deployment counters")
	fixture.Equal(s, "the number of the deployment's ready replicas", 2, d.Status.ReadyReplicas)
}

// A pod that declares a checkpoint of a name that there is none of is started as any other, and is told so.
func TestDeclarativeColdStart(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.Counter(s.CounterImage(), s.System.Declare(s.Namespace)))
	s.Before(p, pods.CounterPort)
	s.That(pods.Restarts(p) == 0, "0 restarts", pods.Describe(p))
	if !s.System.Can().ColdStartEvent {
		return
	}
	err := wait.For(s.Ctx, "an event of pod "+p.Name+" that says that it starts cold", fixture.Soon, func(ctx context.Context) (bool, string, error) {
		list, err := s.Kube.CoreV1().Events(s.Namespace).List(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(p.UID)).String(),
		})
		if err != nil {
			return false, "", err
		}
		var said []string
		for _, e := range list.Items {
			said = append(said, e.Reason+": "+e.Message)
		}
		cold := slices.ContainsFunc(said, func(text string) bool {
			return strings.Contains(text, "starts cold") && strings.Contains(text, fmt.Sprintf("%q", s.Namespace))
		})
		return cold, strings.Join(said, "; "), nil
	})
	s.Must(err, "read the events of pod %s", p.Name)
}

// checkpointUndisturbed takes a checkpoint of a pod, checks that it did not disturb the pod, and lets that get ahead of it.
func checkpointUndisturbed(s *steps.Steps, p *corev1.Pod) (*steps.Checkpoint, *checks.Counter) {
	s.Helper()
	m := s.Before(p, pods.CounterPort)
	c := s.Checkpoint(p)
	undisturbed(s, p, m)
	return c, m
}

// undisturbed checks that the original goes on, was never held still for long, and stayed Ready.
func undisturbed(s *steps.Steps, p *corev1.Pod, m *checks.Counter) {
	s.Helper()
	s.After(p, m)
	s.Check(checks.Briefly(m))
	s.That(s.Pods.Unsteady(p.UID, s.Pods.ReadyAt(p.UID)) == nil, "pod "+p.Name+" stays Ready with 0 restarts", s.Pods.History())
}
