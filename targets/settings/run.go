package settings

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Run is who a run is, which cluster it is about, and where it keeps its files. Paths are absolute.
type Run struct {
	ClusterName string
	// ClusterChosen is set when CLUSTER_NAME was given: `mage clean` then removes that cluster only.
	ClusterChosen bool
	// RunID is on the labels of all that the run makes. It is new for every load, eight hex digits, unless it is given.
	RunID string
	// Home is where clusters' state and all caches are; Artifacts is what a run leaves for a person to read.
	Home      string
	Artifacts string
	// History is a file beside E2E_HOME's to which a run's line is appended; empty for none.
	History string
}

const (
	// DefaultClusterName is the cluster's without CLUSTER_NAME.
	DefaultClusterName = "cedana-e2e"
	// maxClusterName is k3d's limit (pkg/config/validate.go).
	maxClusterName = 32
)

func readClusterName(v *Variables, r *Run) {
	const name = "CLUSTER_NAME"
	r.ClusterName = v.Label(Variable{
		Name: name, Default: DefaultClusterName, DefaultText: "`" + DefaultClusterName + "`; for an existing cluster made from file and context",
		Doc: "name of the k3d cluster, at most 32 characters; `clean` removes only this one when it is set",
	}, maxClusterName)
	r.ClusterChosen = v.Given(name)
}

var runIDForm = regexp.MustCompile(`^[a-z0-9]{4,16}$`)

func readFiles(v *Variables, r *Run) {
	v.Group("Files and output")
	r.Artifacts = v.Path(Variable{Name: "E2E_ARTIFACTS", Default: "artifacts", Doc: "directory for JUnit, logs and diagnostics"})
	r.History = v.Path(Variable{Name: "E2E_HISTORY", Example: "history.jsonl", For: "`e2e`, `history`", Doc: "file with a line for each run, beside `history.jsonl` in `E2E_HOME`: for CI, where that does not outlive the job"})
	home := Variable{
		Name: "E2E_HOME", DefaultText: "`cedana-e2e` in the user's cache directory", Example: "/var/cache/cedana-e2e",
		Doc: "where clusters' state and all caches are; some 12 GiB",
	}
	var err error
	if r.Home, err = HomeDir(v.Text(home)); err != nil {
		v.Problem(home.Name, err.Error(), home.Example)
	}
	id := Variable{Name: "E2E_RUN_ID", DefaultText: "random", Example: "1a2b3c4d", Doc: "label of what this run makes; 4 to 16 lower-case letters and digits"}
	if r.RunID = v.Text(id); r.RunID == "" {
		r.RunID = randomID()
	} else if !runIDForm.MatchString(r.RunID) {
		v.Problem(id.Name, "is not 4 to 16 lower-case letters and digits", id.Example)
	}
	v.Elsewhere(Variable{Name: "NO_COLOR", Doc: "set to anything: plain progress lines, no bar"})
}

func randomID() string {
	var b [4]byte
	// crypto/rand.Read never fails: it ends the program instead (Go 1.24).
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
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

// DurationsFile is where it is remembered how long things take on this machine.
func DurationsFile(home string) string { return filepath.Join(home, "durations.json") }

// Clusters is where every cluster has its directory.
func (r Run) Clusters() string { return filepath.Join(r.Home, "clusters") }

// ClusterDir is where a cluster's kubeconfig and state are.
func (r Run) ClusterDir() string { return filepath.Join(r.Clusters(), r.ClusterName) }

// Kubeconfig is the cluster's own kubeconfig file; its context is KubeContext.
func (r Run) Kubeconfig() string { return filepath.Join(r.ClusterDir(), "kubeconfig") }

// KubeContext is the context in Kubeconfig, named as k3d names it.
func (r Run) KubeContext() string { return "k3d-" + r.ClusterName }

// Images is the cache of image tarballs.
func (r Run) Images() string { return filepath.Join(r.Home, "images") }

// Build is the cache of compiled programs.
func (r Run) Build() string { return filepath.Join(r.Home, "build") }

// RegistrationName is what the cluster is called at the propagator. Registering creates or updates by name, so the run
// id keeps two people with the same CLUSTER_NAME from taking, and then deregistering, each other's cluster. The day tells
// `mage sweep` the age of one that never synchronised, which the propagator does not.
func (r Run) RegistrationName(day time.Time) string {
	return r.ClusterName + "-" + r.RunID + "-" + day.UTC().Format(RegistrationDay)
}

// RegistrationDay is the form of the day in a RegistrationName.
const RegistrationDay = "20060102"

// DockerLabels are the labels of what this run makes in the engine.
func (r Run) DockerLabels() map[string]string {
	return map[string]string{DockerLabel: "true", DockerLabelCluster: r.ClusterName, DockerLabelRun: r.RunID, DockerLabelOwner: r.Owner()}
}
