// Package settings reads the environment, the project's only configuration, into one checked value.
package settings

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
)

// Labels on everything a run makes, by which `mage clean` finds it.
const (
	DockerLabel        = "ai.cedana.e2e"
	DockerLabelCluster = "ai.cedana.e2e.cluster"
	DockerLabelRun     = "ai.cedana.e2e.run"

	KubernetesLabelRun     = "e2e.cedana.ai/run"
	KubernetesLabelManaged = "e2e.cedana.ai/managed-by"
	ManagedBy              = "cedana-e2e"
)

// Backend is what the suite runs against.
type Backend string

// BackendLocal is the embedded stand-in, BackendLive is real Cedana.
const (
	BackendLocal Backend = "local"
	BackendLive  Backend = "live"
)

// DefaultURL is the propagator of the live backend when CEDANA_URL is not set.
const DefaultURL = "https://ci.cedana.ai/v1"

// Settings is the checked environment. Durations are Go durations; paths are absolute.
type Settings struct {
	// Backend is never "auto": Load has resolved it.
	Backend Backend
	// URL is the propagator's, normalised (scheme, host, port; no version, no trailing slash). Empty on the local
	// backend, where the address is known only once the propagator runs.
	URL   string
	Token Secret

	CedanaNamespace string
	ClusterName     string
	// ClusterChosen is set when CLUSTER_NAME was given: `mage clean` then removes that cluster only.
	ClusterChosen bool
	// ClusterID is never "existing": ChooseCluster says that one of the registered clusters is to be used.
	ClusterID     string
	ChooseCluster bool
	// Existing is a cluster that is not ours to make or delete; nil where the run makes its own.
	Existing  *ExistingCluster
	Namespace string
	RuncRoot  string

	HelmChart  string
	HelmValues []string
	SkipHelm   bool
	// RegistryUser and RegistryPassword are for a chart in a private registry, over what Helm and Docker know.
	RegistryUser     string
	RegistryPassword Secret

	Engine string
	Node   string
	// Agents is how many agent nodes the cluster has at least, beside its server: AgentsChosen says that E2E_AGENTS
	// asks for exactly so many, else it is what the tests of SUITE want.
	Agents       int
	AgentsChosen bool
	// K3sImage overrides the pinned official k3s image of the k3s node flavour.
	K3sImage string

	ClusterTimeout time.Duration
	DeployTimeout  time.Duration
	SuiteTimeout   time.Duration
	CleanTimeout   time.Duration

	PodTimeout        time.Duration
	CheckpointTimeout time.Duration
	RestoreTimeout    time.Duration

	// Regression is what the stand-in breaks on purpose, none by default; Regressions is a pattern of those that
	// `mage sensitivity` tries, empty for all.
	Regression  fault.Name
	Regressions string

	// Suite is the group of tests; Run is a `go test -run` pattern; Parallel is how many tests run side by side.
	Suite    Group
	Run      string
	Parallel int
	// Keep leaves test namespaces of failed tests in place.
	Keep bool

	Artifacts string
	// OpenAPI is the file of the document that the API's exchanges are checked against, empty for none. OpenAPIStrict
	// makes drift from it a failure on the live backend too.
	OpenAPI       string
	OpenAPIStrict bool
	// Format of lists: table or json.
	Format string
	// Type (of actions) and Status narrow lists; empty does not.
	Type   string
	Status string
	// CheckpointIDs are those to deprecate.
	CheckpointIDs []string
	// DryRun makes sweep say what it would remove, and remove nothing.
	DryRun bool
	// CleanAll removes caches, CleanEngine stops the private engine.
	CleanAll    bool
	CleanEngine bool
	// Home is where everything on disk lives.
	Home string
	// CI is set on a CI machine.
	CI bool
	// RunID is new for every load: eight lower-case hex digits. E2E_RUN_ID fixes it.
	RunID string
}

// environment has each variable as it is spelled, with its default. Everything is text: envconfig stops at the first
// value it cannot convert, and a user wants to hear of all of them at once.
type environment struct {
	TestVariables
	URL              string `env:"CEDANA_URL"`
	Token            string `env:"CEDANA_AUTH_TOKEN"`
	ClusterName      string `env:"CLUSTER_NAME, default=cedana-e2e"`
	ClusterID        string `env:"CLUSTER_ID"`
	Cluster          string `env:"E2E_CLUSTER, default=k3d"`
	Kubeconfig       string `env:"KUBECONFIG"`
	KubeContext      string `env:"KUBECONTEXT"`
	ImageNginx       string `env:"E2E_IMAGE_NGINX, default=docker.io/library/nginx:1.28"`
	ImageCounter     string `env:"E2E_IMAGE_COUNTER"`
	HelmChart        string `env:"HELM_CHART"`
	HelmValues       string `env:"HELM_VALUES"`
	SkipHelm         string `env:"SKIP_HELM, default=0"`
	RegistryUser     string `env:"HELM_REGISTRY_USERNAME"`
	RegistryPassword string `env:"HELM_REGISTRY_PASSWORD"`
	Backend          string `env:"E2E_BACKEND, default=auto"`
	Engine           string `env:"E2E_ENGINE, default=auto"`
	Node             string `env:"E2E_NODE, default=auto"`
	Agents           string `env:"E2E_AGENTS"`
	K3sImage         string `env:"E2E_K3S_IMAGE"`
	ClusterTimeout   string `env:"E2E_CLUSTER_TIMEOUT, default=30m"`
	DeployTimeout    string `env:"E2E_DEPLOY_TIMEOUT, default=7m"`
	SuiteTimeout     string `env:"E2E_SUITE_TIMEOUT, default=10m"`
	CleanTimeout     string `env:"E2E_CLEAN_TIMEOUT, default=3m"`
	Regression       string `env:"E2E_REGRESSION"`
	Regressions      string `env:"E2E_REGRESSIONS"`
	Run              string `env:"E2E_RUN"`
	Parallel         string `env:"E2E_PARALLEL, default=8"`
	OpenAPI          string `env:"E2E_OPENAPI"`
	OpenAPIStrict    string `env:"E2E_OPENAPI_STRICT, default=0"`
	Format           string `env:"FORMAT, default=table"`
	Type             string `env:"TYPE"`
	Status           string `env:"STATUS"`
	CheckpointID     string `env:"CHECKPOINT_ID"`
	DryRun           string `env:"DRY_RUN, default=0"`
	CleanAll         string `env:"ALL, default=0"`
	CleanEngine      string `env:"ENGINE, default=0"`
	Home             string `env:"E2E_HOME"`
	CI               string `env:"CI, default=0"`
}

// Load reads and checks the environment. Its error is a Problems that names every bad variable.
func Load(ctx context.Context) (*Settings, error) { return load(ctx, envconfig.OsLookuper()) }

func load(ctx context.Context, lookuper envconfig.Lookuper) (*Settings, error) {
	var e environment
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &e, Lookuper: NonEmpty(lookuper)}); err != nil {
		return nil, fmt.Errorf("read environment: %w", err)
	}
	var c Checker
	shared := e.Check(&c)
	s := &Settings{
		Token:             Secret(e.Token),
		CedanaNamespace:   shared.CedanaNamespace,
		ClusterName:       c.Match("CLUSTER_NAME", e.ClusterName, dnsLabel, maxClusterName, "cedana-e2e"),
		ClusterID:         e.ClusterID,
		Namespace:         shared.Namespace,
		RuncRoot:          shared.RuncRoot,
		HelmChart:         e.HelmChart,
		HelmValues:        list(e.HelmValues),
		SkipHelm:          c.Boolean("SKIP_HELM", e.SkipHelm),
		RegistryUser:      e.RegistryUser,
		RegistryPassword:  Secret(e.RegistryPassword),
		Engine:            c.OneOf("E2E_ENGINE", e.Engine, "auto", "system", "private"),
		Node:              c.OneOf("E2E_NODE", e.Node, "auto", "k3s", "source"),
		Agents:            c.agents(e.Agents, shared.Suite),
		AgentsChosen:      e.Agents != "",
		K3sImage:          e.K3sImage,
		ClusterTimeout:    c.Duration("E2E_CLUSTER_TIMEOUT", e.ClusterTimeout, "30m"),
		DeployTimeout:     c.Duration("E2E_DEPLOY_TIMEOUT", e.DeployTimeout, "7m"),
		SuiteTimeout:      c.Duration("E2E_SUITE_TIMEOUT", e.SuiteTimeout, "10m"),
		CleanTimeout:      c.Duration("E2E_CLEAN_TIMEOUT", e.CleanTimeout, "3m"),
		PodTimeout:        shared.PodTimeout,
		CheckpointTimeout: shared.CheckpointTimeout,
		RestoreTimeout:    shared.RestoreTimeout,
		Regressions:       c.Pattern("E2E_REGRESSIONS", e.Regressions, "restored|lost"),
		Suite:             shared.Suite,
		Run:               c.Pattern("E2E_RUN", e.Run, "TestRestore"),
		Parallel:          c.Number("E2E_PARALLEL", e.Parallel, 1, 64),
		Keep:              shared.Keep,
		Artifacts:         shared.Artifacts,
		OpenAPIStrict:     c.Boolean("E2E_OPENAPI_STRICT", e.OpenAPIStrict),
		Format:            c.OneOf("FORMAT", e.Format, "table", "json"),
		Type:              c.Word("TYPE", e.Type, "checkpoint_pod"),
		Status:            c.Word("STATUS", e.Status, "ready"),
		CheckpointIDs:     list(e.CheckpointID),
		DryRun:            c.Boolean("DRY_RUN", e.DryRun),
		CleanAll:          c.Boolean("ALL", e.CleanAll),
		CleanEngine:       c.Boolean("ENGINE", e.CleanEngine),
		CI:                e.CI != "" && e.CI != "0" && e.CI != "false",
		RunID:             shared.RunID,
	}
	_, s.ClusterChosen = NonEmpty(lookuper).Lookup("CLUSTER_NAME")
	if e.OpenAPI != "" {
		s.OpenAPI = c.Path("E2E_OPENAPI", e.OpenAPI, "openapi.json")
	}
	s.Home = c.home(e.Home)
	if s.ClusterID == chooseCluster {
		s.ClusterID, s.ChooseCluster = "", true
	}
	s.Existing = c.existing(e)
	if s.Existing != nil && !s.ClusterChosen {
		s.ClusterName = s.Existing.name()
	}
	s.Backend = c.backend(e.Backend, s.Token, s.Existing != nil)
	s.Regression = c.regression(e.Regression, s.Backend)
	s.URL = c.url(e.URL, s.Backend, s.SkipHelm)
	if s.Backend == BackendLive && !s.Token.Set() && !s.SkipHelm {
		c.Add("CEDANA_AUTH_TOKEN", "must be set for the live backend", "<your token>")
	}
	if s.Backend == BackendLocal && s.Existing != nil {
		c.Add("E2E_BACKEND", "local cannot be reached from an existing cluster (E2E_CLUSTER)", "live")
	}
	if s.SkipHelm && s.ChooseCluster {
		c.Add("CLUSTER_ID", "existing makes no sense with SKIP_HELM=1, which takes the id that is installed", "<nothing>")
	}
	if e.Token != strings.TrimSpace(e.Token) {
		c.Add("CEDANA_AUTH_TOKEN", "has white space around it", "<your token>")
	}
	if (s.RegistryUser == "") != !s.RegistryPassword.Set() {
		c.Add("HELM_REGISTRY_USERNAME", "goes with HELM_REGISTRY_PASSWORD, and only one of them is set", "<your user name>")
	}
	if len(c.Problems) > 0 {
		return nil, c.Problems
	}
	return s, nil
}

// NonEmpty treats a variable that is set to nothing as not set, so that CI can pass optional inputs through.
func NonEmpty(all envconfig.Lookuper) envconfig.Lookuper { return nonEmpty{all} }

type nonEmpty struct{ envconfig.Lookuper }

func (n nonEmpty) Lookup(key string) (string, bool) {
	v, ok := n.Lookuper.Lookup(key)
	return v, ok && v != ""
}

// Clusters is where every cluster has its directory.
func (s *Settings) Clusters() string { return filepath.Join(s.Home, "clusters") }

// ClusterDir is where a cluster's kubeconfig and state are.
func (s *Settings) ClusterDir() string { return filepath.Join(s.Clusters(), s.ClusterName) }

// Kubeconfig is the cluster's own kubeconfig file; its context is KubeContext.
func (s *Settings) Kubeconfig() string { return filepath.Join(s.ClusterDir(), "kubeconfig") }

// KubeContext is the context in Kubeconfig, named as k3d names it.
func (s *Settings) KubeContext() string { return "k3d-" + s.ClusterName }

// Images is the cache of image tarballs.
func (s *Settings) Images() string { return filepath.Join(s.Home, "images") }

// Build is the cache of compiled programs.
func (s *Settings) Build() string { return filepath.Join(s.Home, "build") }

// RegistrationName is what the cluster is called at the propagator. Registering creates or updates by name, so the run
// id keeps two people with the same CLUSTER_NAME from taking, and then deregistering, each other's cluster.
func (s *Settings) RegistrationName() string { return s.ClusterName + "-" + s.RunID }

// DockerLabels are the labels of what this run makes in the engine.
func (s *Settings) DockerLabels() map[string]string {
	return map[string]string{DockerLabel: "true", DockerLabelCluster: s.ClusterName, DockerLabelRun: s.RunID}
}

const (
	// maxClusterName is k3d's limit (pkg/config/validate.go).
	maxClusterName = 32
	// maxNamespacePrefix leaves room for a test's name and the run id in a namespace's 63 characters.
	maxNamespacePrefix = 24
)

var (
	dnsLabel  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	apiWord   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	runIDForm = regexp.MustCompile(`^[a-z0-9]{4,16}$`)
)

func list(value string) []string {
	var out []string
	for _, v := range strings.Split(value, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// agentsFor is how many agents the tests of a group want: one to restore on and to lose; chaos has two to choose from.
var agentsFor = map[Group]int{Full: 1, Chaos: 2}

func (c *Checker) agents(value string, suite Group) int {
	if value == "" {
		return agentsFor[suite]
	}
	return c.Number("E2E_AGENTS", value, 0, 10)
}

// regression is for the stand-in alone: nobody else is to be broken on purpose.
func (c *Checker) regression(value string, backend Backend) fault.Name {
	name, err := fault.Parse(value)
	switch {
	case err != nil:
		c.Add(fault.Variable, err.Error(), string(fault.ColdStart))
	case name != "" && backend != BackendLocal:
		c.Add(fault.Variable, "breaks the local stand-in on purpose, and the backend is "+string(backend), "<nothing>")
	}
	return name
}

// HomeDir is where everything on disk lives: the value of E2E_HOME, or by default a directory in the user's cache.
func HomeDir(value string) (string, error) {
	if value == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		value = filepath.Join(cache, "cedana-e2e")
	}
	return filepath.Abs(value)
}

func (c *Checker) home(value string) string {
	dir, err := HomeDir(value)
	if err != nil {
		c.Add("E2E_HOME", err.Error(), "/var/cache/cedana-e2e")
	}
	return dir
}

func (c *Checker) backend(value string, token Secret, existing bool) Backend {
	switch c.OneOf("E2E_BACKEND", value, "auto", "local", "live") {
	case "local":
		return BackendLocal
	case "live":
		return BackendLive
	}
	if token.Set() || existing {
		return BackendLive
	}
	return BackendLocal
}
