// Package checks is what a restored pod is held against: its process, its files, its logs, its readiness, its
// specification. What only judges is a function that returns an error, a *fixture.Mismatch; what also asks the pod is a
// method of Checks and ends the case.
package checks

import (
	"sync"

	"github.com/cedana/cedana-e2e/tests/fixture"
)

// progress is how far a count has to go to show that it goes on.
const progress = 3

// Checks are those of one case.
type Checks struct {
	*fixture.Fixture
	nonces *nonces
}

// New are the checks of a case.
func New(f *fixture.Fixture) *Checks {
	return &Checks{Fixture: f, nonces: &nonces{of: map[string]string{}, by: map[string]string{}}}
}

// Part are the checks of a part of the case.
func (c *Checks) Part(f *fixture.Fixture) *Checks { return &Checks{Fixture: f, nonces: c.nonces} }

// nonces has, for each nonce that a counter had before a checkpoint, whose it was.
type nonces struct {
	mu sync.Mutex
	of map[string]string
	// by is the first pod in which a counter of that nonce went on at that instant.
	by map[string]string
}

func (n *nonces) add(nonce, whose string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[nonce] = whose
}

// woke is the first pod that went on so.
func (n *nonces) woke(how, pod string) (first string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by[how] == "" {
		n.by[how] = pod
	}
	return n.by[how]
}

func (n *nonces) whose(nonce string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.of[nonce]
}
