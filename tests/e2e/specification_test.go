//go:build e2e

package e2e

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// A restored pod has what its original was given: its node, its limits, what describes it, and how it is scheduled, run
// and ended.
func TestRestoreSpecification(t *testing.T) {
	s := begin(t)
	nodes, err := s.Kube.CoreV1().Nodes().List(s.Ctx, metav1.ListOptions{})
	s.Must(err, "list nodes")
	node := nodes.Items[len(nodes.Items)-1].Name
	s.ConfigMapAndSecret("settings", "kept")
	_, err = s.Kube.CoreV1().ServiceAccounts(s.Namespace).Create(s.Ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}, metav1.CreateOptions{})
	s.Must(err, "create service account worker")
	p := s.Start(pods.Counter(s.CounterImage(), pods.OnNode(node), pods.Limits("500m", "256Mi"), pods.Env("E2E_GIVEN", "a value, with a comma"),
		pods.ConfigMap("settings", "/etc/e2e/config"), func(p *corev1.Pod) {
			grace := int64(7)
			p.Spec.ServiceAccountName, p.Spec.PriorityClassName, p.Spec.TerminationGracePeriodSeconds = "worker", priorityClass(s, 7), &grace
			p.Spec.Tolerations = []corev1.Toleration{{Key: "e2e.cedana.ai/kept", Operator: corev1.TolerationOpExists}}
			p.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.7", Hostnames: []string{"kept.example"}}}
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "settings"}}
		}))
	c := s.Checkpoint(p)
	s.Remove(p)
	r := s.Restore(c) // which compares the specifications
	fixture.Equal(s, "the node of the restored pod", node, r.Spec.NodeName)
}

// priorityClass makes one for the case, and returns its name. Classes belong to the whole cluster: where this may not make
// one, pods have none.
func priorityClass(s *steps.Steps, value int32) string {
	s.Helper()
	never := corev1.PreemptNever
	api := s.Kube.SchedulingV1().PriorityClasses()
	_, err := api.Create(s.Ctx, &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Namespace, Labels: map[string]string{settings.KubernetesLabelRun: s.Env.RunID, settings.KubernetesLabelManaged: settings.ManagedBy},
		},
		Value: value, PreemptionPolicy: &never,
	}, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) {
		s.Logf("the pod's priority is not looked at: %v", err)
		return ""
	}
	s.Must(err, "create priority class %s", s.Namespace)
	s.Cleanup(func() {
		ctx, cancel := s.CleanupContext()
		defer cancel()
		if err := api.Delete(ctx, s.Namespace, metav1.DeleteOptions{}); err != nil {
			s.Errorf("delete priority class %s: %v; remove it with `kubectl delete priorityclass %s`", s.Namespace, err, s.Namespace)
		}
	})
	return s.Namespace
}

// A restored pod lives on: it is Ready for 10 s without a break, where the other tests look for 5 s only.
func TestRestoredPodLivesOn(t *testing.T) {
	const long = 10 * time.Second
	s := begin(t)
	p := s.Start(pods.Counter(s.CounterImage()))
	c := s.Checkpoint(p)
	s.Remove(p)
	r := s.Restore(c)
	s.StaysReady(r, long)
	s.Alone(r)
}
