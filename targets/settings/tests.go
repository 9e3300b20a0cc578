package settings

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// TestVariables are those that a run checks before anything is created, and its tests read again, as they are spelled.
type TestVariables struct {
	CedanaNamespace   string `env:"CEDANA_NAMESPACE, default=cedana-system"`
	Namespace         string `env:"NAMESPACE, default=cedana-e2e"`
	RuncRoot          string `env:"RUNC_ROOT, default=/run/containerd/runc/k8s.io"`
	PodTimeout        string `env:"E2E_POD_TIMEOUT, default=60s"`
	CheckpointTimeout string `env:"E2E_CHECKPOINT_TIMEOUT, default=60s"`
	RestoreTimeout    string `env:"E2E_RESTORE_TIMEOUT, default=120s"`
	Suite             string `env:"SUITE, default=smoke"`
	Seed              string `env:"SEED"`
	ChaosTime         string `env:"E2E_CHAOS_TIME, default=1m"`
	Cycles            string `env:"E2E_CYCLES, default=20"`
	Samples           string `env:"E2E_SAMPLES, default=5"`
	Keep              string `env:"E2E_KEEP, default=0"`
	Artifacts         string `env:"E2E_ARTIFACTS, default=artifacts"`
	RunID             string `env:"E2E_RUN_ID"`
}

// TestSettings are the values of TestVariables.
type TestSettings struct {
	// CedanaNamespace is where Cedana runs; Namespace is the prefix of every test's own namespace.
	CedanaNamespace, Namespace string
	// RuncRoot is where containerd keeps runc's state on every node: its runc root plus its namespace.
	RuncRoot string
	// PodTimeout bounds a pod's start and its deletion, each; the others one checkpoint and one restore.
	PodTimeout, CheckpointTimeout, RestoreTimeout time.Duration
	// Suite is the group of tests to run.
	Suite Group
	// Seed decides what TestChaos does; ChaosTime is for how long it begins new rounds.
	Seed      uint64
	ChaosTime time.Duration
	// Cycles is how often TestCycles checkpoints and restores, Samples how often TestBudget measures.
	Cycles, Samples int
	// Keep leaves the namespaces of failed tests in place.
	Keep bool
	// Artifacts is an absolute directory.
	Artifacts string
	RunID     string
}

// Check gives the values, and the checker what is wrong with them.
func (v TestVariables) Check(c *Checker) TestSettings {
	return TestSettings{
		CedanaNamespace:   c.Match("CEDANA_NAMESPACE", v.CedanaNamespace, dnsLabel, 63, "cedana-system"),
		Namespace:         c.Match("NAMESPACE", v.Namespace, dnsLabel, maxNamespacePrefix, "cedana-e2e"),
		RuncRoot:          c.RuncRoot("RUNC_ROOT", v.RuncRoot, "/run/containerd/runc/k8s.io"),
		PodTimeout:        c.Duration("E2E_POD_TIMEOUT", v.PodTimeout, "60s"),
		CheckpointTimeout: c.Duration("E2E_CHECKPOINT_TIMEOUT", v.CheckpointTimeout, "60s"),
		RestoreTimeout:    c.Duration("E2E_RESTORE_TIMEOUT", v.RestoreTimeout, "120s"),
		Suite:             Group(c.OneOf("SUITE", v.Suite, string(Smoke), string(Full), string(Chaos), string(Measure))),
		Seed:              c.seed(v.Seed),
		ChaosTime:         c.Duration("E2E_CHAOS_TIME", v.ChaosTime, "5m"),
		Cycles:            c.Number("E2E_CYCLES", v.Cycles, 1, 10000),
		Samples:           c.Number("E2E_SAMPLES", v.Samples, 1, 1000),
		Keep:              c.Boolean("E2E_KEEP", v.Keep),
		Artifacts:         c.Path("E2E_ARTIFACTS", v.Artifacts, "artifacts"),
		RunID:             c.runID(v.RunID),
	}
}

// seed is any number, and by default another one each time.
func (c *Checker) seed(value string) uint64 {
	if value == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		c.Add("SEED", fmt.Sprintf("%q is not a whole number from 0 on", value), "42")
	}
	return seed
}

// Group is a set of tests that are run together; SUITE names one.
type Group string

const (
	// Smoke is what every run has: each main path once.
	Smoke Group = "smoke"
	// Full is the whole catalogue; as SUITE it has Smoke in it.
	Full Group = "full"
	// Chaos breaks nodes and helpers under running pods.
	Chaos Group = "chaos"
	// Measure has the tests that take times, and so have the machine to themselves.
	Measure Group = "measure"
)

// Has reports whether a run of this group runs the tests of another.
func (g Group) Has(other Group) bool { return g == other || g == Full && other == Smoke }
