//go:build mage

// End-to-end test of Kubernetes pod checkpoint and restore with Cedana: `mage e2e` does everything.
package main

import (
	"context"
	"os"

	"github.com/cedana/cedana-e2e/targets/build/launch"
	"github.com/cedana/cedana-e2e/targets/build/quality"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/github"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// E2E creates the cluster, installs Cedana and runs the tests; what is there already is reused. It leaves the cluster in place for the next run: `mage clean` removes it.
func E2E(ctx context.Context) error { return launch.Target(ctx, "e2e") }

// Try checkpoints, deletes and restores the pods of the manifests in POD, and prints a page that says whether they survived; CHECK is a command whose output has to stay the same.
func Try(ctx context.Context) error { return launch.Target(ctx, "try") }

// Sensitivity breaks the local stand-in on purpose, in one way after the other, and checks that the tests notice and say what is wrong; E2E_FAULTS chooses the ways.
func Sensitivity(ctx context.Context) error { return launch.Target(ctx, "sensitivity") }

// Cluster creates the named k3d cluster, or reuses it, and waits until it is usable.
func Cluster(ctx context.Context) error { return launch.Target(ctx, "cluster") }

// Deploy installs or upgrades Cedana in the cluster with Helm and waits until it is ready.
func Deploy(ctx context.Context) error { return launch.Target(ctx, "deploy") }

// Clean removes everything any run made; ALL=1 removes the caches and the private engine too, ENGINE=1 only the engine.
func Clean(ctx context.Context) error { return launch.Target(ctx, "clean") }

// Values prints the chart's final values with where each came from, secrets masked; it needs no cluster.
func Values(ctx context.Context) error { return launch.Target(ctx, "values") }

// ListCheckpoints prints the propagator's checkpoints, as a table or with FORMAT=json; CLUSTER_ID and STATUS filter.
func ListCheckpoints(ctx context.Context) error { return launch.Target(ctx, "listCheckpoints") }

// ListActions prints the propagator's actions, as a table or with FORMAT=json; TYPE, CLUSTER_ID and STATUS filter.
func ListActions(ctx context.Context) error { return launch.Target(ctx, "listActions") }

// ListClusters prints the propagator's clusters, as a table or with FORMAT=json; CLUSTER_ID and STATUS filter.
func ListClusters(ctx context.Context) error { return launch.Target(ctx, "listClusters") }

// Deprecate gives up the checkpoints of CHECKPOINT_ID, which the propagator then removes.
func Deprecate(ctx context.Context) error { return launch.Target(ctx, "deprecate") }

// Sweep removes our clusters and checkpoints older than a day from the propagator; DRY_RUN=1 only says which.
func Sweep(ctx context.Context) error { return launch.Target(ctx, "sweep") }

// LiveToken says whether CEDANA_AUTH_TOKEN is set, to a GitHub workflow as the step's output `there`.
func LiveToken(ctx context.Context) error {
	s, err := settings.Load()
	if err != nil {
		return err
	}
	return github.Token(os.Stdout, os.Getenv, s.Token)
}

// Doctor checks what this machine has and prints a line for each thing: ok, or what to do.
func Doctor(ctx context.Context) error { return launch.Target(ctx, "doctor") }

// Logs writes the logs of the cluster's nodes, of Cedana and of the local propagator to the artifacts directory.
func Logs(ctx context.Context) error { return launch.Target(ctx, "logs") }

// History lists the runs so far: verdict, time, versions, red tests.
func History(ctx context.Context) error { return launch.Target(ctx, "history") }

// Report makes the report of the last run again from its artifacts and prints where it is; OPEN=1 opens it.
func Report(ctx context.Context) error { return launch.Target(ctx, "report") }

// Platforms puts the runs in the artifacts directory, and in those of virtual machines below it, into the table of docs/platforms.md.
func Platforms(ctx context.Context) error { return launch.Target(ctx, "platforms") }

// Compare measures two versions, A and B, in turns on this machine, and fails where B is slower beyond noise and chance: git revisions, or charts on the live backend.
func Compare(ctx context.Context) error { return launch.Target(ctx, "compare") }

// VM runs another target in a virtual machine of VM (debian-12, debian-13, debian-testing): `mage vm e2e`. It has its own kernel, cgroup version and Docker engine.
func VM(ctx context.Context, target string) error {
	if err := os.Setenv("E2E_VM_TARGET", target); err != nil {
		return err
	}
	return launch.Target(ctx, "vm")
}

// Bench measures what a checkpoint and a restore cost, over memory, containers, pods at once and compression; BENCH takes one of these.
func Bench(ctx context.Context) error { return launch.Target(ctx, "bench") }

// Test runs the unit and integration tests; it needs no Docker.
func Test(ctx context.Context) error { return quality.Test(ctx, console.Standard()) }

// Race runs the tests of packages with concurrency of their own with the race detector; it needs a C compiler.
func Race(ctx context.Context) error { return quality.Race(ctx, console.Standard()) }

// Lint runs gofmt, golangci-lint, actionlint and govulncheck.
func Lint(ctx context.Context) error { return quality.Lint(ctx, console.Standard()) }
