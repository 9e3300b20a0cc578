// Package environment is what the suite is told by the target that runs it: the cluster, the propagator, the images.
package environment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// Environment is the checked environment of the suite.
type Environment struct {
	Backend settings.Backend
	// URL of the propagator, normalised.
	URL       string
	Token     settings.Secret
	ClusterID string
	// Kubeconfig is a file, KubeContext a context in it.
	Kubeconfig  string
	KubeContext string
	// CedanaNamespace is where Cedana runs; its logs are kept when a test fails.
	CedanaNamespace string
	// Namespace is the prefix of every test's own namespace.
	Namespace string
	RuncRoot  string
	RunID     string
	// Artifacts is an absolute directory.
	Artifacts string
	// Keep leaves the namespaces of failed tests in place.
	Keep bool

	// ImageCounter may be empty in an existing cluster alone, which cannot be given an image.
	ImageNginx, ImageCounter, ImageBusybox string

	// PodTimeout bounds a pod's start and its deletion, each; the others one checkpoint and one restore.
	PodTimeout, CheckpointTimeout, RestoreTimeout time.Duration

	// ClusterName is the k3d cluster's, whose nodes are Docker containers of this machine; empty in a cluster that was
	// there before (E2E_CLUSTER=existing).
	ClusterName string

	// Suite is the group of tests to run, see Group.
	Suite Group
	// Seed decides what TestChaos does; ChaosTime is for how long it begins new rounds.
	Seed      uint64
	ChaosTime time.Duration
	// Cycles is how often TestCycles checkpoints and restores, Samples how often TestBudget measures.
	Cycles, Samples int
}

// variables are the environment as it is spelled. Everything is text, so that all problems are found at once.
type variables struct {
	Backend         string `env:"E2E_BACKEND, default=local"`
	URL             string `env:"CEDANA_URL"`
	Token           string `env:"CEDANA_AUTH_TOKEN"`
	ClusterID       string `env:"CLUSTER_ID"`
	Kubeconfig      string `env:"E2E_KUBECONFIG"`
	KubeContext     string `env:"E2E_KUBECONTEXT"`
	CedanaNamespace string `env:"CEDANA_NAMESPACE, default=cedana-system"`
	Namespace       string `env:"NAMESPACE, default=cedana-e2e"`
	RuncRoot        string `env:"RUNC_ROOT, default=/run/containerd/runc/k8s.io"`
	RunID           string `env:"E2E_RUN_ID"`
	Artifacts       string `env:"E2E_ARTIFACTS, default=artifacts"`
	Keep            string `env:"E2E_KEEP, default=0"`

	Cluster      string `env:"E2E_CLUSTER, default=k3d"`
	ClusterName  string `env:"CLUSTER_NAME"`
	ImageNginx   string `env:"E2E_IMAGE_NGINX"`
	ImageCounter string `env:"E2E_IMAGE_COUNTER"`
	ImageBusybox string `env:"E2E_IMAGE_BUSYBOX"`

	PodTimeout        string `env:"E2E_POD_TIMEOUT, default=60s"`
	CheckpointTimeout string `env:"E2E_CHECKPOINT_TIMEOUT, default=60s"`
	RestoreTimeout    string `env:"E2E_RESTORE_TIMEOUT, default=120s"`

	Suite     string `env:"SUITE, default=smoke"`
	Seed      string `env:"SEED"`
	ChaosTime string `env:"E2E_CHAOS_TIME, default=1m"`
	Cycles    string `env:"E2E_CYCLES, default=20"`
	Samples   string `env:"E2E_SAMPLES, default=5"`
}

// Remedy is the command that sets all of this.
const Remedy = "go tool mage e2e"

// Load reads the environment. Its error names everything that is missing or wrong, and the command that sets it.
func Load(ctx context.Context) (*Environment, error) { return load(ctx, envconfig.OsLookuper()) }

func load(ctx context.Context, lookuper envconfig.Lookuper) (*Environment, error) {
	var v variables
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &v, Lookuper: nonEmpty{lookuper}}); err != nil {
		return nil, fmt.Errorf("read environment: %w", err)
	}
	var c checker
	e := &Environment{
		Backend:           settings.Backend(c.oneOf("E2E_BACKEND", v.Backend, string(settings.BackendLocal), string(settings.BackendLive))),
		URL:               c.url("CEDANA_URL", v.URL),
		Token:             settings.Secret(c.required("CEDANA_AUTH_TOKEN", v.Token)),
		ClusterID:         c.required("CLUSTER_ID", v.ClusterID),
		Kubeconfig:        c.required("E2E_KUBECONFIG", v.Kubeconfig),
		KubeContext:       c.required("E2E_KUBECONTEXT", v.KubeContext),
		CedanaNamespace:   v.CedanaNamespace,
		Namespace:         v.Namespace,
		RuncRoot:          v.RuncRoot,
		RunID:             c.runID("E2E_RUN_ID", c.required("E2E_RUN_ID", v.RunID)),
		Artifacts:         c.path("E2E_ARTIFACTS", v.Artifacts),
		Keep:              c.boolean("E2E_KEEP", v.Keep),
		ImageNginx:        c.required("E2E_IMAGE_NGINX", v.ImageNginx),
		ImageCounter:      v.ImageCounter,
		ImageBusybox:      c.required("E2E_IMAGE_BUSYBOX", v.ImageBusybox),
		PodTimeout:        c.duration("E2E_POD_TIMEOUT", v.PodTimeout),
		CheckpointTimeout: c.duration("E2E_CHECKPOINT_TIMEOUT", v.CheckpointTimeout),
		RestoreTimeout:    c.duration("E2E_RESTORE_TIMEOUT", v.RestoreTimeout),
		Suite:             Group(c.oneOf("SUITE", v.Suite, groupNames()...)),
		Seed:              c.seed("SEED", v.Seed),
		ChaosTime:         c.duration("E2E_CHAOS_TIME", v.ChaosTime),
		Cycles:            c.number("E2E_CYCLES", v.Cycles),
		Samples:           c.number("E2E_SAMPLES", v.Samples),
	}
	if v.Cluster != "existing" {
		c.required("E2E_IMAGE_COUNTER", v.ImageCounter)
		e.ClusterName = c.required("CLUSTER_NAME", v.ClusterName)
	}
	return e, c.problem()
}

// NamespaceFor is the name of a test's namespace: the prefix, the test and the run, within a namespace's 63 characters.
// nth is above 1 when the same test runs again in the same run.
func (e *Environment) NamespaceFor(test string, nth int) string {
	end := "-" + e.RunID
	if nth > 1 {
		end += "-" + strconv.Itoa(nth)
	}
	middle := strings.Trim(notInLabel.ReplaceAllString(strings.ToLower(test), "-"), "-")
	if room := 63 - len(e.Namespace) - 1 - len(end); len(middle) > room {
		middle = strings.TrimRight(middle[:room], "-")
	}
	return e.Namespace + "-" + middle + end
}

var (
	notInLabel = regexp.MustCompile(`[^a-z0-9]+`)
	runIDForm  = regexp.MustCompile(`^[a-z0-9]{4,16}$`)
)

// nonEmpty treats a variable that is set to nothing as not set.
type nonEmpty struct{ envconfig.Lookuper }

func (n nonEmpty) Lookup(key string) (string, bool) {
	v, ok := n.Lookuper.Lookup(key)
	return v, ok && v != ""
}

type checker struct{ missing, wrong []string }

func (c *checker) problem() error {
	if len(c.missing)+len(c.wrong) == 0 {
		return nil
	}
	var parts []string
	if len(c.missing) > 0 {
		parts = append(parts, "not set: "+strings.Join(c.missing, ", "))
	}
	parts = append(parts, c.wrong...)
	return fmt.Errorf("the suite runs against a cluster with Cedana in it, which `%s` sets up; run `%s` (%s)",
		Remedy, Remedy, strings.Join(parts, "; "))
}

func (c *checker) required(name, value string) string {
	if value == "" {
		c.missing = append(c.missing, name)
	}
	return value
}

func (c *checker) add(name, format string, args ...any) {
	c.wrong = append(c.wrong, name+" "+fmt.Sprintf(format, args...))
}

func (c *checker) url(name, value string) string {
	if c.required(name, value) == "" {
		return ""
	}
	base, err := settings.NormalizeURL(value)
	if err != nil {
		c.add(name, "%v", err)
	}
	return base
}

func (c *checker) oneOf(name, value string, allowed ...string) string {
	if !slices.Contains(allowed, value) {
		c.add(name, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
	return value
}

func (c *checker) runID(name, value string) string {
	if value != "" && !runIDForm.MatchString(value) {
		c.add(name, "%q is not 4 to 16 lower-case letters and digits", value)
	}
	return value
}

func (c *checker) boolean(name, value string) bool {
	b, err := strconv.ParseBool(value)
	if err != nil {
		c.add(name, "%q is neither 0 nor 1", value)
	}
	return b
}

func (c *checker) number(name, value string) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		c.add(name, "%q is not a number above 0", value)
	}
	return n
}

// seed is a random one where none is given.
func (c *checker) seed(name, value string) uint64 {
	if value == "" {
		return rand.Uint64N(1e6)
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		c.add(name, "%q is not a whole number from 0 on", value)
	}
	return n
}

func (c *checker) duration(name, value string) time.Duration {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		c.add(name, "%q is not a duration above zero", value)
	}
	return d
}

func (c *checker) path(name, value string) string {
	abs, err := filepath.Abs(value)
	if err != nil {
		c.add(name, "%v", err)
	}
	return abs
}
