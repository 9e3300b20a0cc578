package settings

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// TestFileVariable names the file that the tests read.
const TestFileVariable = "E2E_TEST_SETTINGS"

// TestFileName is the file's name in the cluster's directory.
const TestFileName = "tests.json"

// TestFile is all that the tests are given, but for the token, which comes by CEDANA_AUTH_TOKEN: so the file can stay
// after the run, for one test by hand.
type TestFile struct {
	Tests
	Backend Backend `json:"backend"`
	// URL of the propagator, normalised.
	URL string `json:"url"`
	// StateFile is the state.json that has the local propagator's token, for a run by hand. Empty on the live backend.
	StateFile string `json:"state_file,omitempty"`
	// ClusterID is the cluster's at the propagator. It is empty where NoCluster is set.
	ClusterID string `json:"cluster_id,omitempty"`
	// Registered says that this run's token has registered the cluster, so it may register others.
	Registered bool `json:"registered"`
	// NoCluster is why there is no cluster, and what to do about it. Then there is no kubeconfig and no image either.
	NoCluster string `json:"no_cluster,omitempty"`
	// Kubeconfig is a file, KubeContext a context in it.
	Kubeconfig  string `json:"kubeconfig,omitempty"`
	KubeContext string `json:"kube_context,omitempty"`
	// ClusterName is the k3d cluster's, whose nodes are Docker containers of this machine; empty in a cluster that was
	// there before (E2E_CLUSTER=existing).
	ClusterName string `json:"cluster_name,omitempty"`
	// ImageCounter may be empty in an existing cluster alone, which cannot be given an image.
	ImageNginx   string `json:"image_nginx,omitempty"`
	ImageCounter string `json:"image_counter,omitempty"`
	// Programs are the lab's images, by program; empty in an existing cluster.
	Programs map[string]string `json:"programs,omitempty"`
	// RunID is on the labels of what the tests make.
	RunID string `json:"run_id"`
	// Artifacts is the directory that the tests write to.
	Artifacts string `json:"artifacts"`
}

// ReadTestFile reads the file. A field that is not known, or one that is missing, is an error: half a file would make
// tests that pass for a wrong reason.
func ReadTestFile(path string) (TestFile, error) {
	var f TestFile
	file, err := os.Open(path)
	if err != nil {
		return f, fmt.Errorf("read the tests' settings: %w", err)
	}
	defer file.Close()
	decode := json.NewDecoder(file)
	decode.DisallowUnknownFields()
	if err := decode.Decode(&f); err != nil {
		return f, fmt.Errorf("read the tests' settings %s: %w", path, err)
	}
	if missing := f.missing(); len(missing) > 0 {
		return f, fmt.Errorf("read the tests' settings %s: not there: %s", path, strings.Join(missing, ", "))
	}
	return f, nil
}

func (f TestFile) missing() []string {
	var out []string
	want := func(there bool, names ...string) {
		if !there {
			out = append(out, names...)
		}
	}
	want(f.Backend == BackendLocal || f.Backend == BackendLive, "backend")
	want(f.URL != "", "url")
	want(f.RunID != "", "run_id")
	want(f.Namespace != "", "namespace")
	want(f.CedanaNamespace != "", "cedana_namespace")
	want(f.RuncRoot != "", "runc_root")
	want(f.Suite != "", "suite")
	want(filepath.IsAbs(f.Artifacts), "artifacts")
	want(f.PodTimeout.Duration > 0, "pod_timeout")
	want(f.CheckpointTimeout.Duration > 0, "checkpoint_timeout")
	want(f.RestoreTimeout.Duration > 0, "restore_timeout")
	want(f.TimeoutScale >= 1, "timeout_scale")
	want(f.ChaosTime.Duration > 0, "chaos_time")
	want(f.Cycles > 0, "cycles")
	want(f.Samples > 0, "samples")
	if f.NoCluster == "" {
		want(f.ClusterID != "", "cluster_id")
		want(f.Kubeconfig != "", "kubeconfig")
		want(f.KubeContext != "", "kube_context")
		want(f.ImageNginx != "", "image_nginx")
		want(f.ClusterName == "" || f.ImageCounter != "", "image_counter")
	}
	return out
}
