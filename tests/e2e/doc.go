// Package e2e is the suite: it checkpoints, deletes and restores real pods of a real cluster through the propagator's
// API, and fails unless the restored pod is the old one, gone on. `go tool mage e2e` sets up what it needs and runs it;
// the tests themselves have the build tag e2e.
//
// A test is short because a scene has what all of them share: a namespace of its own, the steps (start, checkpoint,
// remove, restore) with the checks that belong to each, and the artifacts of a failure. A new case picks its group,
// builds its pods with package pods, and adds the checks that are its own.
package e2e
