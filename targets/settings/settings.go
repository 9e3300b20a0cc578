// Package settings reads the environment, the project's only configuration: each variable is declared and parsed in one
// place, everything that is wrong is told at once, and each consumer is given a struct of its own.
package settings

import (
	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Labels on everything a run makes, by which `mage clean` finds it.
const (
	DockerLabel        = "ai.cedana.e2e"
	DockerLabelCluster = "ai.cedana.e2e.cluster"
	DockerLabelRun     = "ai.cedana.e2e.run"
	// DockerLabelOwner has the id of the E2E_HOME; see OwnerOf.
	DockerLabelOwner = "ai.cedana.e2e.owner"

	KubernetesLabelRun     = "e2e.cedana.ai/run"
	KubernetesLabelManaged = "e2e.cedana.ai/managed-by"
	ManagedBy              = "cedana-e2e"
)

// Settings is the checked environment: a struct for each consumer. Only package targets has it whole.
type Settings struct {
	Run
	Propagator
	// Existing is a cluster that is not ours to make or delete; nil where the run makes its own.
	Existing    *ExistingCluster
	Cluster     Cluster
	Deploy      Deploy
	Suite       Suite
	Sensitivity Sensitivity
	Listing     Listing
	Deprecate   Deprecate
	Sweep       Sweep
	Cleanup     Cleanup
	Compare     Compare
	// OpenReport shows the report in a browser.
	OpenReport bool
	// Given are the variables that are set, secrets masked: for people, no setting.
	Given []Given
}

// Given is a variable that is set.
type Given struct{ Name, Value string }

// Part is settings that are declared outside this package, which knows nothing of them.
type Part interface {
	// Read declares, reads and checks the variables. s has everything else.
	Read(v *Variables, s *Settings)
}

// Load reads and checks the environment, with the parts, and makes E2E_TIMEOUT_SCALE this process's. Its error is a
// [Problems] that names every bad variable; the settings are of no use then.
func Load(parts ...Part) (*Settings, error) {
	v := NewVariables(envconfig.OsLookuper())
	s := Read(v, parts...)
	stretch.Set(s.Suite.Tests.TimeoutScale)
	return s, v.Err()
}

// Read is [Load] from any variables. What is wrong is in v.Err, and the settings are of no use then.
func Read(v *Variables, parts ...Part) *Settings {
	s := &Settings{}
	s.Propagator = readPropagator(v)
	s.Cluster, s.Existing = readCluster(v, &s.Run)
	s.Deploy = readDeploy(v)
	s.Suite, s.Sensitivity = readSuite(v)
	s.Listing, s.Deprecate, s.Sweep, s.Cleanup = readRequests(v)
	s.Compare = readCompare(v)
	s.readTimeouts(v)
	readFiles(v, &s.Run)
	s.OpenReport = v.Bool(Variable{Name: "OPEN", For: "`report`", Doc: "`1`: opens the report in a browser"})
	s.Deploy.ChartValues = readChartValues(v)
	s.resolve(v, s.Existing != nil, s.Deploy.SkipHelm)
	for _, part := range parts {
		part.Read(v, s)
	}
	s.Given = v.given
	s.share()
	readElsewhere(v)
	return s
}

func (s *Settings) readTimeouts(v *Variables) {
	v.Group("Time limits")
	s.Suite.Tests.TimeoutScale = readScale(v)
	s.Cluster.Timeout = v.Limit(Variable{Name: "E2E_CLUSTER_TIMEOUT", Default: "30m", Doc: "deadline of `cluster`; a first run compiles Kubernetes in it"})
	s.Deploy.Timeout = v.Limit(Variable{Name: "E2E_DEPLOY_TIMEOUT", Default: "7m", Doc: "deadline of `deploy`"})
	s.Suite.Timeout = v.Limit(Variable{Name: "E2E_SUITE_TIMEOUT", Default: "10m", Doc: "deadline of the tests"})
	s.Cleanup.Timeout = v.Limit(Variable{Name: "E2E_CLEAN_TIMEOUT", Default: "3m", Doc: "deadline of `clean`"})
}

func readScale(v *Variables) float64 {
	d := Variable{Name: stretch.Variable, Default: "1", Doc: "times every limit that no variable of its own sets, here, in the node and in the stand-in: for slow machines, from `1` to `100`"}
	factor, err := stretch.Parse(v.Text(d))
	if err != nil {
		v.Problem(d.Name, err.Error(), "4")
	}
	return factor
}

// share gives each consumer the values that it has in common with others.
func (s *Settings) share() {
	if !s.Cluster.AgentsChosen {
		s.Cluster.Agents = agentsFor[s.Suite.Tests.Suite]
	}
	s.Suite.Tests.CedanaNamespace, s.Suite.Tests.RuncRoot = s.Deploy.CedanaNamespace, s.Cluster.RuncRoot
	s.Deploy.RuncRoot = s.Cluster.RuncRoot
	s.Deploy.CheckpointTimeout, s.Deploy.RestoreTimeout = s.Suite.Tests.CheckpointTimeout.Duration, s.Suite.Tests.RestoreTimeout.Duration
	for _, id := range []*string{&s.Suite.ClusterID, &s.Listing.ClusterID, &s.Sweep.ClusterID} {
		*id = s.Deploy.ClusterID
	}
	s.Sweep.ClusterName, s.Sweep.Namespace = s.ClusterName, s.Suite.Tests.Namespace
	s.Deploy.Propagator, s.Suite.Propagator, s.Cleanup.Propagator = s.Propagator, s.Propagator, s.Propagator
	for _, run := range []*Run{&s.Cluster.Run, &s.Deploy.Run, &s.Suite.Run, &s.Sensitivity.Run, &s.Cleanup.Run} {
		*run = s.Run
	}
}

// readElsewhere declares what libraries read, for the table alone.
func readElsewhere(v *Variables) {
	v.Group("Read by libraries, as everywhere")
	const system = "the system's"
	v.Elsewhere(Variable{Name: "DOCKER_HOST", DefaultText: system, Doc: "the Docker engine"})
	v.Elsewhere(Variable{Name: "SSL_CERT_FILE", DefaultText: system, Doc: "certificates of a private authority"})
	v.Elsewhere(Variable{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", DefaultText: "none", For: "`e2e`", Doc: "collector that traces of the run are sent to (OTLP, HTTP with protobuf), see [artifacts.md](artifacts.md#traces); OpenTelemetry's other variables hold, too"})
	v.Elsewhere(Variable{Name: "HTTPS_PROXY", DefaultText: system, Doc: "the way out"})
	v.Elsewhere(Variable{Name: "NO_PROXY", DefaultText: system, Doc: "what is reached without it"})
}
