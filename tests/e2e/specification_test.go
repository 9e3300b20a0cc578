//go:build e2e

package e2e

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// A restored pod has what its original was given: its node, its limits, and what describes it.
func TestRestoreSpecification(t *testing.T) {
	s := begin(t)
	nodes, err := s.Kube.CoreV1().Nodes().List(s.Ctx, metav1.ListOptions{})
	s.Must(err, "list nodes")
	node := nodes.Items[len(nodes.Items)-1].Name
	p := s.Start(pods.Counter(s.CounterImage(), pods.OnNode(node), pods.Limits("500m", "256Mi"), pods.Env("E2E_GIVEN", "a value, with a comma")))
	c := s.Checkpoint(p)
	s.Remove(p)
	r := s.Restore(c) // which compares the specifications
	fixture.Equal(s, "the node of the restored pod", node, r.Spec.NodeName)
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
