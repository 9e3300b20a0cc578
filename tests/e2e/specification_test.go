//go:build e2e

package e2e

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// A restored pod has what its original was given: its node, its limits, and what describes it.
func TestRestoreSpecification(t *testing.T) {
	s := begin(t, environment.Full)
	nodes, err := kube.CoreV1().Nodes().List(s.ctx, metav1.ListOptions{})
	s.must(err, "list nodes")
	node := nodes.Items[len(nodes.Items)-1].Name
	p := s.start(pods.Counter(s.counterImage(), pods.OnNode(node), pods.Limits("500m", "256Mi"), pods.Env("E2E_GIVEN", "a value, with a comma")))
	c := s.checkpoint(p)
	s.remove(p)
	r := s.restore(c) // which compares the specifications
	equal(s, "the node of the restored pod", node, r.Spec.NodeName)
}

// A restored pod lives on: it is Ready for 10 s without a break, where the other tests look for 5 s only.
func TestRestoredPodLivesOn(t *testing.T) {
	const long = 10 * time.Second
	s := begin(t, environment.Full)
	p := s.start(pods.Counter(s.counterImage()))
	c := s.checkpoint(p)
	s.remove(p)
	r := s.restore(c)
	s.steady(r.Pod, r.readyAt, long)
	s.alone(r)
}
