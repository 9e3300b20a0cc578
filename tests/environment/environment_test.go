package environment

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

var complete = map[string]string{
	"CEDANA_URL":        "http://127.0.0.1:1324/v1",
	"CEDANA_AUTH_TOKEN": "canary",
	"CLUSTER_ID":        "7a3c1b9e-6a55-4bb0-9a40-0c2f1d3e4b5a",
	"CLUSTER_NAME":      "cedana-e2e",
	"E2E_KUBECONFIG":    "/home/e2e/kubeconfig",
	"E2E_KUBECONTEXT":   "k3d-cedana-e2e",
	"E2E_RUN_ID":        "1a2b3c4d",
	"E2E_IMAGE_NGINX":   "nginx:1",
	"E2E_IMAGE_COUNTER": "counter:1",
}

func with(changes map[string]string) envconfig.Lookuper {
	env := maps.Clone(complete)
	maps.Copy(env, changes)
	return envconfig.MapLookuper(env)
}

func TestACompleteEnvironmentHasDefaultsForTheRest(t *testing.T) {
	t.Parallel()
	e, err := load(t.Context(), with(nil))
	require.NoError(t, err)
	require.Equal(t, settings.BackendLocal, e.Backend)
	require.Equal(t, "http://127.0.0.1:1324", e.URL)
	require.Equal(t, "/run/containerd/runc/k8s.io", e.RuncRoot)
	require.Equal(t, 2*time.Minute, e.RestoreTimeout)
	require.Equal(t, Smoke, e.Suite)
	require.Equal(t, 20, e.Cycles)
	require.Equal(t, "cedana-e2e", e.ClusterName)
	require.Equal(t, time.Minute, e.ChaosTime)
	require.NotContains(t, fmt.Sprintf("%+v", e), "canary")
}

func TestEverythingMissingIsInOneMessageWithTheCommandToRun(t *testing.T) {
	t.Parallel()
	_, err := load(t.Context(), envconfig.MapLookuper(map[string]string{"CLUSTER_ID": ""}))
	require.ErrorContains(t, err, "run `go tool mage e2e`")
	for name := range complete {
		require.ErrorContains(t, err, name)
	}
}

func TestWithoutAClusterOnlyThePropagatorIsWanted(t *testing.T) {
	t.Parallel()
	e, err := load(t.Context(), envconfig.MapLookuper(map[string]string{
		"E2E_BACKEND": "live", "CEDANA_URL": "https://ci.example/v1", "CEDANA_AUTH_TOKEN": "canary", "E2E_RUN_ID": "1a2b3c4d",
		"E2E_NO_CLUSTER": "no right to register one",
	}))
	require.NoError(t, err)
	require.Equal(t, "no right to register one", e.NoCluster)
	require.Empty(t, e.ClusterID)
	require.False(t, e.Registered)
}

func TestEverythingWrongIsInOneMessage(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"E2E_BACKEND": "remote", "CEDANA_URL": "ftp://x", "E2E_RUN_ID": "A B", "E2E_KEEP": "perhaps", "E2E_POD_TIMEOUT": "60",
		"E2E_CHECKPOINT_TIMEOUT": "-1s", "SUITE": "everything", "E2E_CYCLES": "0", "E2E_SAMPLES": "few",
		"SEED": "-1", "E2E_CHAOS_TIME": "long",
	}
	_, err := load(t.Context(), with(bad))
	require.Error(t, err)
	for name := range bad {
		require.ErrorContains(t, err, name)
	}
	require.NotContains(t, err.Error(), "canary")
}

func TestANamespaceNamesPrefixTestAndRun(t *testing.T) {
	t.Parallel()
	e := &Environment{TestSettings: settings.TestSettings{Namespace: "cedana-e2e", RunID: "1a2b3c4d"}}
	require.Equal(t, "cedana-e2e-testrestore-two-pods-1a2b3c4d", e.NamespaceFor("TestRestore/two_pods", 1))
	require.Equal(t, "cedana-e2e-testrestore-1a2b3c4d-2", e.NamespaceFor("TestRestore", 2))
	long := &Environment{TestSettings: settings.TestSettings{Namespace: strings.Repeat("n", 24), RunID: strings.Repeat("r", 16)}}
	name := long.NamespaceFor("TestACheckpointOfAPodWhoseNameIsVeryLong", 12)
	require.LessOrEqual(t, len(name), 63)
	require.True(t, strings.HasSuffix(name, long.RunID+"-12"))
}

func TestASeedIsAsGivenAndElseAnotherForEachRun(t *testing.T) {
	t.Parallel()
	e, err := load(t.Context(), with(map[string]string{"SEED": "42"}))
	require.NoError(t, err)
	require.EqualValues(t, 42, e.Seed)
	seeds := map[uint64]bool{}
	for range 20 {
		e, err := load(t.Context(), with(nil))
		require.NoError(t, err)
		seeds[e.Seed] = true
	}
	require.Greater(t, len(seeds), 1)
}

func TestAnExistingClusterHasNoMachinesOfOurs(t *testing.T) {
	t.Parallel()
	e, err := load(t.Context(), with(map[string]string{"E2E_CLUSTER": "existing", "CLUSTER_NAME": "eks"}))
	require.NoError(t, err)
	require.Empty(t, e.ClusterName)
}
