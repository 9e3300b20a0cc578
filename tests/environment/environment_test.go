package environment

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// left is a home in which a run has left its file, and the variables that name it.
func left(t *testing.T, change func(*settings.TestFile)) (dir string, variables map[string]string) {
	t.Helper()
	home := t.TempDir()
	run := settings.Run{Home: home, ClusterName: "cedana-e2e"}
	second := settings.Duration{Duration: time.Second}
	f := settings.TestFile{
		Tests: settings.Tests{
			CedanaNamespace: "cedana-system", Namespace: "cedana-e2e", RuncRoot: "/run/r", Suite: Full,
			PodTimeout: second, TimeoutScale: 1, CheckpointTimeout: second, RestoreTimeout: second, ChaosTime: second, Cycles: 1, Samples: 1,
		},
		Backend: settings.BackendLive, URL: "https://ci.example", ClusterID: "c1", Kubeconfig: "/k", KubeContext: "c", ImageNginx: "nginx:1",
		RunID: "1a2b3c4d", Artifacts: "/artifacts",
	}
	if change != nil {
		change(&f)
	}
	data, err := json.Marshal(f)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(run.ClusterDir(), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(run.ClusterDir(), settings.TestFileName), data, 0o600))
	return run.ClusterDir(), map[string]string{"E2E_HOME": home}
}

func loaded(variables map[string]string) (*Environment, error) {
	return load(func(name string) string { return variables[name] })
}

func TestTheFileOfTheLastRunIsFoundAndTheTokenComesBesideIt(t *testing.T) {
	t.Parallel()
	dir, variables := left(t, nil)
	variables["CEDANA_AUTH_TOKEN"] = "canary"
	e, err := loaded(variables)
	require.NoError(t, err)
	require.Equal(t, Full, e.Suite)
	require.Equal(t, "https://ci.example", e.URL)
	require.Equal(t, time.Second, e.PodTimeout.Duration)
	require.EqualValues(t, "canary", e.Token)
	require.NotContains(t, fmt.Sprintf("%+v", e), "canary")

	named, err := loaded(map[string]string{settings.TestFileVariable: filepath.Join(dir, settings.TestFileName), "CEDANA_AUTH_TOKEN": "canary"})
	require.NoError(t, err)
	require.Equal(t, e, named)
}

func TestTheLocalPropagatorsOwnTokenIsTaken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), state.File)
	_, variables := left(t, func(f *settings.TestFile) { f.Backend, f.StateFile = settings.BackendLocal, file })
	require.NoError(t, state.Update(filepath.Dir(file), func(s *state.State) { s.Token.Secret = "local" }))
	for _, shell := range []string{"", "of-a-live-one"} {
		variables["CEDANA_AUTH_TOKEN"] = shell
		e, err := loaded(variables)
		require.NoError(t, err)
		require.EqualValues(t, "local", e.Token)
	}
}

func TestWhatIsMissingIsSaidWithTheCommandToRun(t *testing.T) {
	t.Parallel()
	_, err := loaded(map[string]string{"E2E_HOME": t.TempDir()})
	require.ErrorContains(t, err, "run that first")
	require.ErrorContains(t, err, "`go tool mage e2e`")

	_, variables := left(t, nil)
	_, err = loaded(variables)
	require.ErrorContains(t, err, "CEDANA_AUTH_TOKEN is not set")
}

func TestANamespaceNamesPrefixTestAndRun(t *testing.T) {
	t.Parallel()
	e := &Environment{TestFile: settings.TestFile{Tests: settings.Tests{Namespace: "cedana-e2e"}, RunID: "1a2b3c4d"}}
	require.Equal(t, "cedana-e2e-testrestore-two-pods-1a2b3c4d", e.NamespaceFor("TestRestore/two_pods", 1))
	require.Equal(t, "cedana-e2e-testrestore-1a2b3c4d-2", e.NamespaceFor("TestRestore", 2))
	long := &Environment{TestFile: settings.TestFile{Tests: settings.Tests{Namespace: strings.Repeat("n", 24)}, RunID: strings.Repeat("r", 16)}}
	name := long.NamespaceFor("TestACheckpointOfAPodWhoseNameIsVeryLong", 12)
	require.LessOrEqual(t, len(name), 63)
	require.True(t, strings.HasSuffix(name, long.RunID+"-12"))
}
