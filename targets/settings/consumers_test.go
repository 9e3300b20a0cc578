package settings

import (
	"cmp"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// other is a good value of each variable that is not its default, where "other" is none.
var other = map[string]string{
	"CEDANA_AUTH_TOKEN": "canary", "CEDANA_URL": "http://127.0.0.1:1324", "E2E_BACKEND": "local", "CLUSTER_NAME": "mine",
	"E2E_IMAGE_NGINX": "nginx:2", "E2E_IMAGE_COUNTER": "counter:2", "RUNC_ROOT": "/run/other/k8s.io", "E2E_CLUSTER": "existing", "E2E_AGENTS": "2",
	"CEDANA_NAMESPACE": "other", "CLUSTER_ID": "c1", "HELM_CHART": "0.7.6", "HELM_VALUES": "mine.yaml", "SKIP_HELM": "1",
	"HELM_REGISTRY_USERNAME": "robot", "HELM_REGISTRY_PASSWORD": "canary", "HELM_REGISTRY_CONFIG": "/logins.json", "CI": "true",
	"SUITE": "full", "NAMESPACE": "mine", "E2E_POD_TIMEOUT": "2m", "E2E_CHECKPOINT_TIMEOUT": "2m", "E2E_RESTORE_TIMEOUT": "3m", "SEED": "43",
	"E2E_CHAOS_TIME": "2m", "E2E_CYCLES": "3", "E2E_SAMPLES": "3", "E2E_KEEP": "1", "E2E_RUN": "TestX", "BENCH": "pods", "E2E_PARALLEL": "3", "E2E_OPENAPI": "/openapi.json", "E2E_OPENAPI_STRICT": "1",
	"E2E_FAULTS": "lost", "POD": "/pod.yaml", "CHECK": "uptime", "E2E_IMAGES": "a=b", "FORMAT": "json", "TYPE": "restore_pod", "STATUS": "error", "CHECKPOINT_ID": "k1", "DRY_RUN": "1", "ALL": "1", "ALL_OWNERS": "1", "FORGET": "gone",
	"ENGINE": "1", "E2E_CLUSTER_TIMEOUT": "1m", "E2E_DEPLOY_TIMEOUT": "1m", "E2E_SUITE_TIMEOUT": "1m", "E2E_CLEAN_TIMEOUT": "1m",
	"E2E_ARTIFACTS": "/mine", "E2E_HOME": "/other", "E2E_RUN_ID": "run2", "OPEN": "1", "E2E_RERUN": "2", "E2E_ROUNDS": "5", "E2E_THRESHOLD": "5", "E2E_TIMEOUT_SCALE": "3", "E2E_HISTORY": "/history.jsonl",
	"CEDANA_CHECKPOINT_STREAMS": "4", "CEDANA_CHECKPOINT_ASYNC": "true", "CEDANA_PROFILING_ENABLED": "true", "CEDANA_METRICS_ENABLED": "true",
}

// Each variable reaches a consumer: a declaration that nothing is made of is dead.
func TestEveryVariableChangesTheSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	value := func(name string) string {
		if name == "KUBECONFIG" {
			return file
		}
		return cmp.Or(other[name], "other")
	}
	elsewhere := map[string]bool{"NO_COLOR": true, "DOCKER_HOST": true, "SSL_CERT_FILE": true, "HTTPS_PROXY": true, "NO_PROXY": true, "OTEL_EXPORTER_OTLP_ENDPOINT": true}
	v := variablesOf(nil)
	Read(v)
	for _, d := range v.Declared() {
		require.NotEmpty(t, d.Doc, d.Name)
		require.NotEmpty(t, d.Group, d.Name)
		if elsewhere[d.Name] {
			continue
		}
		with := func(value string) *Settings {
			env := map[string]string{
				"E2E_HOME": "/home", "E2E_RUN_ID": "run1", "SEED": "42", "CEDANA_AUTH_TOKEN": "of-a-live-one",
				"HELM_REGISTRY_USERNAME": "me", "HELM_REGISTRY_PASSWORD": "mine",
			}
			switch d.Name {
			case "KUBECONFIG", "KUBECONTEXT", "E2E_IMAGE_NGINX", "E2E_IMAGE_COUNTER":
				env["E2E_CLUSTER"], env["KUBECONFIG"], env["KUBECONTEXT"] = "existing", os.Args[0], "another"
			case "E2E_CLUSTER":
				env["KUBECONFIG"], env["KUBECONTEXT"] = file, "one"
			}
			if value != "" {
				env[d.Name] = value
			}
			v := variablesOf(env)
			s := Read(v)
			require.NoError(t, v.Err(), d.Name)
			s.Given = nil // is no consumer
			return s
		}
		require.False(t, reflect.DeepEqual(with(""), with(value(d.Name))), "%s changes nothing", d.Name)
	}
}

func TestAVariableIsDeclaredOnce(t *testing.T) {
	t.Parallel()
	v := variablesOf(nil)
	v.Text(Variable{Name: "SUITE"})
	require.PanicsWithValue(t, "settings: SUITE is declared twice", func() { v.Text(Variable{Name: "SUITE"}) })
}

// What several consumers share is the same for all of them.
func TestWhatIsSharedIsTheSameForAll(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"CEDANA_AUTH_TOKEN": "canary", "CLUSTER_ID": "c1", "NAMESPACE": "mine", "CLUSTER_NAME": "other", "SUITE": "full", "RUNC_ROOT": "/run/r/k8s.io"})
	require.NoError(t, err)
	for _, run := range []Run{s.Cluster.Run, s.Deploy.Run, s.Suite.Run, s.Sensitivity.Run, s.Cleanup.Run} {
		require.Equal(t, s.Run, run)
	}
	require.Equal(t, s.Propagator, s.Deploy.Propagator)
	require.Equal(t, s.Propagator, s.Suite.Propagator)
	require.Equal(t, s.Token, s.Cleanup.Token)
	require.Equal(t, []string{"c1", "c1", "c1", "c1"}, []string{s.Deploy.ClusterID, s.Suite.ClusterID, s.Listing.ClusterID, s.Sweep.ClusterID})
	require.Equal(t, Sweep{ClusterName: "other", Namespace: "mine", ClusterID: "c1"}, s.Sweep)
	require.Equal(t, "/run/r/k8s.io", s.Suite.Tests.RuncRoot)
	require.Equal(t, "cedana-system", s.Suite.Tests.CedanaNamespace)
}
