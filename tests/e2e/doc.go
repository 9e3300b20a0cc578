// Package e2e is the suite: it checkpoints, deletes and restores real pods of a real cluster, and fails unless the restored
// pod is the old one, gone on. `go tool mage e2e` sets up what it needs and runs it; the tests themselves have the build
// tag e2e.
//
// There are only cases here. What they are written with is beside: fixture (a namespace, clients, what is kept of a
// failure), steps (start, checkpoint, remove, restore), checks (what has to survive), pods (the pods to start), nodes (to
// take them away). A new case is a function here and its name in groups.go; see CONTRIBUTING.md.
package e2e
