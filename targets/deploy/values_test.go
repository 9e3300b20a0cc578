package deploy

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

const canary = "canary-token-1b9d"

func testSettings(t *testing.T) *settings.Deploy {
	t.Helper()
	return &settings.Deploy{
		Run:             settings.Run{ClusterName: "unit", RunID: "1a2b3c4d", Home: t.TempDir()},
		Propagator:      settings.Propagator{Backend: settings.BackendLocal},
		CedanaNamespace: "cedana-system", Timeout: wholeRun, RuncRoot: "/run/e2e-other/runc/k8s.io",
		CheckpointTimeout: 3 * time.Minute, RestoreTimeout: 5 * time.Minute,
	}
}

func at(t *testing.T, values []Value, path string) Value {
	t.Helper()
	for _, v := range values {
		if v.Path == path {
			return v
		}
	}
	require.Failf(t, "no such value", "%s", path)
	return Value{}
}

func TestLaterLayersWinAndSayWhereTheyCameFrom(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.CI = true
	file := filepath.Join(t.TempDir(), "mine.yaml")
	require.NoError(t, os.WriteFile(file, []byte("config:\n  checkpointCompression: lz4\n  checkpointDir: /mnt\n"), 0o600))
	s.HelmValues = []string{file}
	s.ChartValues = []settings.ChartValue{
		{Variable: "CEDANA_CHECKPOINT_DIR", Path: "config.checkpointDir", Value: "s3://bucket"},
		{Variable: "CEDANA_CHECKPOINT_STREAMS", Path: "config.checkpointStreams", Value: int64(4)},
	}
	values, err := Values(s, Options{
		Chart: tinyChart(""), Layers: []string{"local.yaml"}, URLInCluster: "http://propagator:1324", Token: canary,
	}, "id-1")
	require.NoError(t, err)

	require.Equal(t, Value{"config.metrics", false, "charts-values/base.yaml"}, at(t, values, "config.metrics"))
	require.Equal(t, Value{"daemonHelper.image.imagePullPolicy", "IfNotPresent", "charts-values/local.yaml"}, at(t, values, "daemonHelper.image.imagePullPolicy"))
	require.Equal(t, Value{"config.logLevel", "debug", "charts-values/ci.yaml"}, at(t, values, "config.logLevel"))
	require.Equal(t, Value{"config.checkpointCompression", "lz4", file}, at(t, values, "config.checkpointCompression"))
	require.Equal(t, Value{"config.checkpointDir", "s3://bucket", "CEDANA_CHECKPOINT_DIR"}, at(t, values, "config.checkpointDir"))
	require.Equal(t, Value{"config.checkpointStreams", int64(4), "CEDANA_CHECKPOINT_STREAMS"}, at(t, values, "config.checkpointStreams"))
	require.Equal(t, Value{"config.url", "http://propagator:1324/v1", "run"}, at(t, values, "config.url"))
	require.Equal(t, Value{"config.clusterId", "id-1", "run"}, at(t, values, "config.clusterId"))
	require.Equal(t, Value{"hostConfig.runcRoot", s.RuncRoot, "RUNC_ROOT"}, at(t, values, "hostConfig.runcRoot"))
	require.Equal(t, Value{"config.checkpointTimeout", "3m0s", "E2E_CHECKPOINT_TIMEOUT"}, at(t, values, "config.checkpointTimeout"))
	require.Equal(t, Value{"config.restoreTimeout", "5m0s", "E2E_RESTORE_TIMEOUT"}, at(t, values, "config.restoreTimeout"))
	require.Equal(t, Value{"config.authToken", "***", "run"}, at(t, values, "config.authToken"))
}

// What a value does is its chart's; that it gets there, under the name that the document gives, is ours.
func TestEveryVariableOfTheChartIsTheValueThatItsDocumentNames(t *testing.T) {
	t.Parallel()
	given := map[string]string{"CEDANA_AUTH_TOKEN": canary, "CEDANA_CHECKPOINT_STREAMS": "4", "CEDANA_CHECKPOINT_ASYNC": "true",
		"CEDANA_PROFILING_ENABLED": "true", "CEDANA_METRICS_ENABLED": "true"}
	declared := settings.NewVariables(envconfig.MapLookuper(nil))
	settings.Read(declared)
	var names []settings.Variable
	for _, d := range declared.Declared() {
		if d.Group == "Values of the chart" {
			names = append(names, d)
			given[d.Name] = cmp.Or(given[d.Name], "of-"+d.Name)
		}
	}
	require.NotEmpty(t, names)
	v := settings.NewVariables(envconfig.MapLookuper(given))
	s := settings.Read(v)
	require.NoError(t, v.Err())
	values, err := Values(&s.Deploy, Options{}.withDefaults(&s.Deploy), "id-1")
	require.NoError(t, err)
	path := regexp.MustCompile("\\(`(.+)`\\)$")
	for _, d := range names {
		named := path.FindStringSubmatch(d.Doc)
		require.Len(t, named, 2, d.Name)
		value := at(t, values, named[1])
		require.Equal(t, d.Name, value.Source)
		require.Equal(t, given[d.Name], fmt.Sprint(value.Value), d.Name)
	}
}

func TestLiveRunTakesUrlAndTokenFromTheUsersVariables(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.Backend, s.URL, s.Token, s.ClusterID = settings.BackendLive, "https://ci.cedana.ai", canary, "given"
	values, err := Values(s, Options{Layers: []string{"live.yaml"}}.withDefaults(s), s.ClusterID)
	require.NoError(t, err)
	require.Equal(t, Value{"config.url", "https://ci.cedana.ai/v1", "CEDANA_URL"}, at(t, values, "config.url"))
	require.Equal(t, Value{"config.clusterId", "given", "CLUSTER_ID"}, at(t, values, "config.clusterId"))
	require.Equal(t, Value{"config.authToken", "***", "CEDANA_AUTH_TOKEN"}, at(t, values, "config.authToken"))
	require.Equal(t, Value{"hostConfig.disableIoUring", false, "charts-values/live.yaml"}, at(t, values, "hostConfig.disableIoUring"))
}

// A directory on one node is of no use to a restore on another.
func TestAClusterOfSeveralNodesKeepsCheckpointsWhereAllSeeThem(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.Backend, s.URL, s.Token = settings.BackendLive, "https://ci.cedana.ai", canary
	for _, c := range []struct {
		layers []string
		want   Value
	}{
		{[]string{"live.yaml"}, Value{"config.checkpointDir", "/tmp", "charts-values/base.yaml"}},
		{[]string{"live.yaml", "nodes.yaml"}, Value{"config.checkpointDir", "cedana://ci", "charts-values/nodes.yaml"}},
	} {
		values, err := Values(s, Options{Layers: c.layers}.withDefaults(s), "id")
		require.NoError(t, err)
		require.Equal(t, c.want, at(t, values, "config.checkpointDir"))
	}
}

func TestABigNumberStaysAsItIsWritten(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	file := filepath.Join(t.TempDir(), "big.yaml")
	require.NoError(t, os.WriteFile(file, []byte("config:\n  gpuShmSize: 8589934592\n"), 0o600))
	s.HelmValues = []string{file}
	values, err := Values(s, Options{}, "")
	require.NoError(t, err)
	require.Equal(t, int64(8589934592), at(t, values, "config.gpuShmSize").Value)
}

func TestAnImageVariableForRealCedanaDoesNotChangeTheStandIn(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.ChartValues = []settings.ChartValue{
		{Variable: "HELPER_DIGEST", Path: "daemonHelper.image.digest", Value: "sha256:1"},
		{Variable: "HELPER_TAG", Path: "daemonHelper.image.tag", Value: "v1"},
		{Variable: "CONTROLLER_TAG", Path: "controllerManager.manager.image.tag", Value: "v2"},
	}
	values, err := Values(s, Options{Helper: Image{"cedana-e2e.local/cedana", "abc"}}, "")
	require.NoError(t, err)
	require.Equal(t, "abc", at(t, values, "daemonHelper.image.tag").Value)
	require.Equal(t, "v2", at(t, values, "controllerManager.manager.image.tag").Value)
	for _, v := range values {
		require.NotEqual(t, "daemonHelper.image.digest", v.Path)
	}
}

func TestAMissingValuesFileIsNamed(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.HelmValues = []string{"/no/such.yaml"}
	_, err := Values(s, Options{}, "")
	require.ErrorContains(t, err, "HELM_VALUES")
	require.ErrorContains(t, err, "/no/such.yaml")
}

func TestMergingChangesNeitherSide(t *testing.T) {
	t.Parallel()
	under := map[string]any{"a": map[string]any{"b": 1, "c": 2}, "list": []any{1, 2}}
	over := map[string]any{"a": map[string]any{"b": 3, "d": nil}, "list": []any{9}}
	require.Equal(t, map[string]any{"a": map[string]any{"b": 3, "c": 2, "d": nil}, "list": []any{9}}, mergeTables(under, over))
	require.Equal(t, map[string]any{"a": map[string]any{"b": 1, "c": 2}, "list": []any{1, 2}}, under)
}

func printed(t *testing.T, s *settings.Deploy, opts Options) (data, progress string, err error) {
	t.Helper()
	var p, d bytes.Buffer
	err = PrintValues(console.New(&p, &d), s, opts)
	return d.String(), p.String(), err
}

// tinyChart knows just these values.
func tinyChart(values string) fstest.MapFS {
	return fstest.MapFS{
		"Chart.yaml":  {Data: []byte("apiVersion: v2\nname: tiny\nversion: 1.0.0\n")},
		"values.yaml": {Data: []byte(values)},
	}
}

func TestPrintedValuesSayWhereTheyCameFromAndShowNoSecret(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.Backend, s.URL, s.Token = settings.BackendLive, "https://ci.cedana.ai", canary
	file := filepath.Join(t.TempDir(), "mine.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`config:
  awsSecretAccessKey: very-secret
  preExistingSecret: named
extra:
  hosts: [a, b]
  registries: [{name: r, password: also-secret}]
  note: has `+canary+` in it
`), 0o600))
	s.HelmValues = []string{file}
	s.ChartValues = []settings.ChartValue{{Variable: "CEDANA_CHECKPOINT_STREAMS", Path: "config.checkpointStreams", Value: int64(4)}}
	data, progress, err := printed(t, s, Options{ClusterID: "id-7", Layers: []string{"live.yaml"}})
	require.NoError(t, err)
	require.NotContains(t, data, canary)
	require.NotContains(t, data, "very-secret")
	require.NotContains(t, data, "also-secret")
	for _, line := range []string{
		`  authToken: '***' # from CEDANA_AUTH_TOKEN`,
		`  awsSecretAccessKey: '***' # from ` + file,
		`  preExistingSecret: named # from ` + file,
		`  checkpointDir: /tmp # from charts-values/base.yaml`,
		`  checkpointStreams: 4 # from CEDANA_CHECKPOINT_STREAMS`,
		`  gpuShmSize: "1073741824" # from charts-values/live.yaml`,
		`  url: https://ci.cedana.ai/v1 # from CEDANA_URL`,
		`  clusterId: id-7 # from run`,
		"  # from " + file + "\n  hosts:\n    - a\n    - b",
		`  note: has *** in it # from ` + file,
	} {
		require.Contains(t, data, line+"\n")
	}
	require.Contains(t, progress, "not compared with the keys of chart "+PublishedChart)
	var back map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(data), &back), "what is printed is YAML")
}

func TestPrintedValuesAreComparedWithAChartThatIsAtHand(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	data, _, err := printed(t, s, Options{Layers: []string{"local.yaml"}, Chart: tinyChart("config: {}\nhostConfig: {}\n")})
	require.ErrorContains(t, err, "chart tiny 1.0.0 does not know")
	require.ErrorContains(t, err, "daemonHelper.image.imagePullPolicy (from charts-values/local.yaml)")
	require.Contains(t, data, "imagePullPolicy: IfNotPresent # from charts-values/local.yaml", "the values are printed all the same")

	_, progress, err := printed(t, s, Options{Layers: []string{"local.yaml"}, Chart: tinyChart("config: {}\nhostConfig: {}\ndaemonHelper: {}\ncontrollerManager: {}\n")})
	require.NoError(t, err)
	require.Empty(t, progress)
}
