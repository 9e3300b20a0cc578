//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// A pod that declares a checkpoint and is created again under its own name goes on from the newest checkpoint of that
// name, with its memory and its volume.
func TestDeclarativeSameName(t *testing.T) {
	s := begin(t, environment.Full)
	wanted := pods.Counter(s.counterImage(), pods.Declared(s.namespace), pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data"))
	p := s.start(wanted.DeepCopy())
	s.superseded(p)
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.undisturbed(p, m)
	s.remove(p)

	r := s.declared(c, s.create(wanted))
	s.speaks(r.Pod, "counter", s.survived(r, m))
	s.steady(r.Pod, r.readyAt, steady)
}

// A pod of another name goes on from a checkpoint that was asked for by the name of its pod alone, though there is a
// newer one of another name.
func TestDeclarativeByName(t *testing.T) {
	s := begin(t, environment.Full)
	p := s.create(pods.Counter(s.counterImage(), pods.Declared(s.namespace)))
	other := s.create(pods.Counter(s.counterImage(), pods.Named("other"), pods.Declared(s.namespace+"-other")))
	p, other = s.ready(p), s.ready(other)
	s.superseded(p)
	m := s.before(p, pods.CounterPort)
	c := s.checkpointByName(p)
	s.undisturbed(p, m)
	s.before(other, pods.CounterPort)
	s.checkpointByName(other)
	s.remove(p)

	r := s.declared(c, s.create(pods.Counter(s.counterImage(), pods.Named("replica"), pods.Declared(s.namespace))))
	s.speaks(r.Pod, "counter", s.survived(r, m))
	s.steady(r.Pod, r.readyAt, steady)
}

// A Deployment is scaled up while its pod runs: the new replica goes on from the checkpoint, and the pod that it was
// taken of runs on as if there were no other.
func TestDeclarativeScaleUp(t *testing.T) {
	s := begin(t, environment.Full)
	one := int32(1)
	template := pods.Counter(s.counterImage(), pods.Declared(s.namespace))
	api := kube.AppsV1().Deployments(s.namespace)
	_, err := api.Create(s.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "counters"},
		Spec:       appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: s.template(template)},
	}, metav1.CreateOptions{})
	s.must(err, "create deployment counters")
	p := s.ready(s.owned(template))
	s.superseded(p)
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.undisturbed(p, m)

	_, err = api.UpdateScale(s.ctx, "counters", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "counters", Namespace: s.namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 2},
	}, metav1.UpdateOptions{})
	s.must(err, "scale deployment counters to 2")
	r := s.declared(c, s.replicaBeside(p))
	s.survived(r, m)
	s.steady(r.Pod, r.readyAt, steady)
	s.undisturbed(p, m)
	d, err := api.Get(s.ctx, "counters", metav1.GetOptions{})
	s.must(err, "get deployment counters")
	equal(s, "the number of the deployment's ready replicas", 2, d.Status.ReadyReplicas)
}

// A pod that declares a checkpoint of a name that there is none of is started as any other, and is told so.
func TestDeclarativeColdStart(t *testing.T) {
	s := begin(t, environment.Full)
	p := s.start(pods.Counter(s.counterImage(), pods.Declared(s.namespace)))
	s.before(p, pods.CounterPort)
	s.that(pods.Restarts(p) == 0, "0 restarts", pods.Describe(p))
	if env.Backend != settings.BackendLocal {
		return // what Cedana says of it is not documented
	}
	err := wait.For(s.ctx, "an event of pod "+p.Name+" that says that it starts cold", soon, func(ctx context.Context) (bool, string, error) {
		list, err := kube.CoreV1().Events(s.namespace).List(ctx, metav1.ListOptions{
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
			return strings.Contains(text, "starts cold") && strings.Contains(text, fmt.Sprintf("%q", s.namespace))
		})
		return cold, strings.Join(said, "; "), nil
	})
	s.must(err, "read the events of pod %s", p.Name)
}

// superseded takes a checkpoint of a pod that a newer one is to follow, and lets the pod get ahead of it.
func (s *scene) superseded(p *corev1.Pod) {
	s.Helper()
	m := s.before(p, pods.CounterPort)
	s.checkpoint(p)
	s.undisturbed(p, m)
}

// undisturbed is after, and checks besides that the original was never held still for long and stayed Ready.
func (s *scene) undisturbed(p *corev1.Pod, m *moments) {
	s.Helper()
	s.after(p, m)
	s.briefly(m)
	s.that(s.pods.Unsteady(p.UID, s.pods.ReadyAt(p.UID)) == nil, "pod "+p.Name+" stays Ready with 0 restarts", s.pods.History())
}

// declared waits until a pod is Ready that declares the name of a checkpoint, which nobody was asked to restore.
func (s *scene) declared(c *checkpoint, p *corev1.Pod) *restored {
	s.Helper()
	r := &restored{from: c, asked: time.Now()}
	r.Pod = s.ready(p)
	r.readyAt = s.pods.ReadyAt(r.UID)
	return r
}

// replicaBeside waits for the other pod of a controller that has two.
func (s *scene) replicaBeside(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	var found *corev1.Pod
	err := wait.For(s.ctx, "a second replica beside "+p.Name, env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		list := s.pods.List()
		i := slices.IndexFunc(list, func(other *corev1.Pod) bool {
			return other.UID != p.UID && other.DeletionTimestamp == nil && metav1.GetControllerOf(other) != nil
		})
		if i >= 0 {
			found = list[i]
		}
		return i >= 0, pods.Names(list), nil
	}, wait.Every(look))
	s.must(err, "wait for a replica beside pod %s", p.Name)
	return found
}
