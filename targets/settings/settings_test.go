package settings

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, env map[string]string) (*Settings, error) {
	t.Helper()
	if env["E2E_HOME"] == "" {
		env["E2E_HOME"] = "/home/e2e"
	}
	v := variablesOf(env)
	s := Read(v)
	return s, v.Err()
}

func variablesOf(env map[string]string) *Variables {
	return NewVariables(envconfig.MapLookuper(env))
}

func TestAnEmptyEnvironmentMeansTheLocalBackend(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{})
	require.NoError(t, err)
	require.Equal(t, BackendLocal, s.Backend)
	require.Equal(t, "cedana-e2e", s.ClusterName)
	require.Equal(t, "cedana-system", s.Deploy.CedanaNamespace)
	require.Equal(t, "/run/containerd/runc/k8s.io", s.Cluster.RuncRoot)
	require.Equal(t, "/home/e2e/clusters/cedana-e2e/kubeconfig", s.Kubeconfig())
	require.Equal(t, "k3d-cedana-e2e", s.KubeContext())
	require.Equal(t, time.Minute, s.Suite.Tests.CheckpointTimeout.Duration)
	require.Len(t, s.RunID, 8)
}

// A group of tests brings the nodes that it wants, and E2E_AGENTS has the last word.
func TestAgentsAreThoseThatTheGroupWantsUnlessChosen(t *testing.T) {
	t.Parallel()
	for suite, agents := range map[string]int{"": 0, "smoke": 0, "measure": 0, "full": 1, "chaos": 2} {
		s, err := read(t, map[string]string{"SUITE": suite})
		require.NoError(t, err)
		require.Equal(t, agents, s.Cluster.Agents, suite)
		require.False(t, s.Cluster.AgentsChosen)
	}
	s, err := read(t, map[string]string{"SUITE": "chaos", "E2E_AGENTS": "0"})
	require.NoError(t, err)
	require.Zero(t, s.Cluster.Agents)
	require.True(t, s.Cluster.AgentsChosen)
}

// What was chosen is checked as it is; a default that a slow machine stretches stays within what can be waited for.
func TestADefaultOfAnOperationIsStretchedToTheLongestAndNoFurther(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"E2E_TIMEOUT_SCALE": "40", "E2E_POD_TIMEOUT": "2h"})
	require.NoError(t, err)
	require.Equal(t, 40*time.Minute, s.Suite.Tests.CheckpointTimeout.Duration)
	require.Equal(t, LongestOperation, s.Suite.Tests.RestoreTimeout.Duration)
	require.Equal(t, 2*time.Hour, s.Suite.Tests.PodTimeout.Duration)
}

func TestATokenMeansTheLiveBackend(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"CEDANA_AUTH_TOKEN": "canary"})
	require.NoError(t, err)
	require.Equal(t, BackendLive, s.Backend)
	require.Equal(t, "https://ci.cedana.ai", s.URL)
}

func TestAnEmptyVariableIsNotSet(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"CLUSTER_NAME": "", "CEDANA_AUTH_TOKEN": ""})
	require.NoError(t, err)
	require.Equal(t, "cedana-e2e", s.ClusterName)
	require.Equal(t, BackendLocal, s.Backend)
}

func TestEverySpellingOfAURLWorks(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"ci.cedana.ai/v1/":         "https://ci.cedana.ai",
		"https://ci.cedana.ai/v1":  "https://ci.cedana.ai",
		"https://ci.cedana.ai":     "https://ci.cedana.ai",
		"http://127.0.0.1:1324/v1": "http://127.0.0.1:1324",
		"http://[::1]:1324/v2/":    "http://[::1]:1324",
		"localhost:1324":           "https://localhost:1324",
	} {
		got, err := NormalizeURL(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, got, raw)
	}
	for _, raw := range []string{"ftp://ci.cedana.ai", "https://", "https://ci.cedana.ai/web", "https://u:p@ci.cedana.ai", "https://a b", "https://ci.cedana.ai?x=1"} {
		_, err := NormalizeURL(raw)
		require.Error(t, err, raw)
		require.NotContains(t, err.Error(), "u:p")
	}
}

// Whoever is on the way could read the token.
func TestATokenDoesNotGoOverPlainHTTPToAnyHost(t *testing.T) {
	t.Parallel()
	for url, refused := range map[string]bool{
		"http://ci.cedana.ai/v1": true, "http://8.8.8.8": true, "http://localhost.example": true, "http://[2001:db8::1]": true,
		"https://ci.cedana.ai": false, "ci.cedana.ai": false, "http://localhost:1": false, "http://127.0.0.1:1": false, "http://[::1]:1": false,
		"http://172.17.0.2:1": false, "http://[fd00::1]:1": false,
	} {
		_, err := read(t, map[string]string{"CEDANA_AUTH_TOKEN": "canary", "CEDANA_URL": url})
		if !refused {
			require.NoError(t, err, url)
			continue
		}
		require.ErrorContains(t, err, "CEDANA_URL", url)
		require.ErrorContains(t, err, "unencrypted", url)
	}
}

func TestEveryProblemIsInOneReport(t *testing.T) {
	t.Parallel()
	_, err := read(t, map[string]string{
		"E2E_BACKEND":     "lcoal",
		"E2E_FAULTS":      "(",
		"E2E_KEEP":        "perhaps",
		"E2E_CYCLES":      "0",
		"E2E_SAMPLES":     "few",
		"E2E_POD_TIMEOUT": "60",
		"SUITE":           "everything",
		"TYPE":            "Checkpoint Pod",

		"CEDANA_CHECKPOINT_STREAMS": "many",
		"CEDANA_METRICS_ENABLED":    "maybe",
		"E2E_AGENTS":                "many",
		"SEED":                      "first",
		"E2E_CHAOS_TIME":            "5",
		"E2E_CHECKPOINT_TIMEOUT":    "2h",
		"E2E_RESTORE_TIMEOUT":       "61m",
		"E2E_DEPLOY_TIMEOUT":        "7",
		"E2E_CLUSTER_TIMEOUT":       "0s",
		"CLUSTER_NAME":              strings.Repeat("x", 33),
		"CEDANA_NAMESPACE":          "Cedana",
		"RUNC_ROOT":                 "run/runc",
		"FORMAT":                    "xml",
		"SKIP_HELM":                 "maybe",
		"E2E_RUN":                   "(",
		"E2E_RUN_ID":                "A B",
	})
	var problems Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 24)
	require.Equal(t, 2, problems.ExitStatus())
	for _, p := range problems {
		require.Contains(t, err.Error(), p.Name+"=", "each problem has an example")
		require.NotEmpty(t, p.Example)
	}
}

func TestARuncRootThatContainerdCannotHaveIsAProblem(t *testing.T) {
	t.Parallel()
	for value, reason := range map[string]string{
		"run/containerd/runc/k8s.io": "is not an absolute path",
		"/run/containerd/runc":       "containerd's namespace",
		"/run/containerd/runc/moby":  "containerd's namespace",
		"/k8s.io":                    "containerd's namespace",
		"/":                          "containerd's namespace",
	} {
		_, err := read(t, map[string]string{"RUNC_ROOT": value})
		var problems Problems
		require.ErrorAs(t, err, &problems, value)
		require.Len(t, problems, 1, value)
		require.Equal(t, "RUNC_ROOT", problems[0].Name)
		require.Contains(t, problems[0].Reason, reason)
		require.Equal(t, "/run/containerd/runc/k8s.io", problems[0].Example)
	}
	s, err := read(t, map[string]string{"RUNC_ROOT": "/run/e2e-other/runc/k8s.io/"})
	require.NoError(t, err)
	require.Equal(t, "/run/e2e-other/runc/k8s.io", s.Cluster.RuncRoot)
}

func TestLiveWithoutATokenIsAProblem(t *testing.T) {
	t.Parallel()
	_, err := read(t, map[string]string{"E2E_BACKEND": "live", "CEDANA_URL": "nonsense://x"})
	require.ErrorContains(t, err, "CEDANA_AUTH_TOKEN")
	require.ErrorContains(t, err, "CEDANA_URL")
}

func TestASecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"CEDANA_AUTH_TOKEN": "canary"})
	require.NoError(t, err)
	asJSON, err := json.Marshal(s)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprint(s.Token), fmt.Sprintf("%#v %+v %v %q", s.Token, s, *s, s.Token), string(asJSON)} {
		require.NotContains(t, text, "canary")
		require.Contains(t, text, "***")
	}
	_, err = read(t, map[string]string{"CEDANA_AUTH_TOKEN": " canary "})
	require.ErrorContains(t, err, "white space")
	require.NotContains(t, err.Error(), "canary")
}

func TestAnExistingClusterHasToBeNamedAndIsLive(t *testing.T) {
	t.Parallel()
	_, err := read(t, map[string]string{"E2E_CLUSTER": "existing", "E2E_BACKEND": "local"})
	var problems Problems
	require.ErrorAs(t, err, &problems)
	for _, name := range []string{"KUBECONFIG", "KUBECONTEXT", "E2E_BACKEND"} {
		require.ErrorContains(t, err, name+":", "all problems are in one report")
	}
	_, err = read(t, map[string]string{"E2E_CLUSTER": "existing", "KUBECONFIG": "/no/such/file", "KUBECONTEXT": "eks", "CEDANA_AUTH_TOKEN": "canary"})
	require.ErrorContains(t, err, `"/no/such/file" is not a file that exists`)

	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	one, err := read(t, map[string]string{"E2E_CLUSTER": "existing", "KUBECONFIG": file, "KUBECONTEXT": "one", "CEDANA_AUTH_TOKEN": "canary"})
	require.NoError(t, err)
	require.Equal(t, BackendLive, one.Backend)
	require.Equal(t, file, one.Existing.Kubeconfig)
	require.Equal(t, "docker.io/library/nginx:1.28", one.Existing.ImageNginx)
	other, err := read(t, map[string]string{"E2E_CLUSTER": "existing", "KUBECONFIG": file, "KUBECONTEXT": "other", "CEDANA_AUTH_TOKEN": "canary"})
	require.NoError(t, err)
	require.NotEqual(t, one.ClusterDir(), other.ClusterDir(), "what is remembered of one is not taken for the other's")
}

func TestWhatIsInstalledAlreadyBringsItsOwnURLAndToken(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"E2E_BACKEND": "live", "SKIP_HELM": "1"})
	require.NoError(t, err)
	require.Empty(t, s.URL)
	require.False(t, s.Token.Set())
	_, err = read(t, map[string]string{"SKIP_HELM": "1", "CLUSTER_ID": "existing"})
	require.ErrorContains(t, err, "CLUSTER_ID")
}

func TestClusterIDExistingIsAChoiceAndNoID(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"CLUSTER_ID": "existing"})
	require.NoError(t, err)
	require.Empty(t, s.Deploy.ClusterID)
	require.True(t, s.Deploy.ChooseCluster)
}

func TestARegistrysUserAndPasswordGoTogether(t *testing.T) {
	t.Parallel()
	_, err := read(t, map[string]string{"HELM_REGISTRY_PASSWORD": "canary"})
	require.ErrorContains(t, err, "HELM_REGISTRY_USERNAME")
	require.NotContains(t, err.Error(), "canary")
}

func TestFullHasSmokeAndNothingElseHasAnother(t *testing.T) {
	t.Parallel()
	require.True(t, Full.Has(Smoke))
	require.True(t, Smoke.Has(Smoke))
	for _, g := range []Group{Full, Chaos, Measure} {
		require.False(t, Smoke.Has(g))
	}
	require.False(t, Full.Has(Measure))
	require.False(t, Chaos.Has(Smoke))
}

func TestASeedIsAsGivenAndElseAnotherForEachRun(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"SEED": "42"})
	require.NoError(t, err)
	require.EqualValues(t, 42, s.Suite.Tests.Seed)
	seeds := map[uint64]bool{}
	for range 20 {
		s, err := read(t, map[string]string{})
		require.NoError(t, err)
		seeds[s.Suite.Tests.Seed] = true
	}
	require.Greater(t, len(seeds), 1)
}

func TestValuesOfTheChartHaveTheTypesThatHelmWants(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{
		"CEDANA_CHECKPOINT_STREAMS": "4", "CEDANA_CHECKPOINT_ASYNC": "true", "CEDANA_GPU_SHM_SIZE": "8589934592", "HELPER_TAG": "",
	})
	require.NoError(t, err)
	require.Equal(t, []ChartValue{
		{"CEDANA_CHECKPOINT_STREAMS", "config.checkpointStreams", int64(4)},
		{"CEDANA_CHECKPOINT_ASYNC", "config.checkpointAsync", true},
		{"CEDANA_GPU_SHM_SIZE", "config.gpuShmSize", "8589934592"},
	}, s.Deploy.ChartValues)
}
