package settings

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), TestFileName)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestEverythingThatTheFileLacksIsNamed(t *testing.T) {
	t.Parallel()
	_, err := ReadTestFile(written(t, "{}"))
	for _, name := range []string{
		"backend", "url", "run_id", "namespace", "cedana_namespace", "runc_root", "suite", "artifacts", "pod_timeout", "checkpoint_timeout",
		"restore_timeout", "chaos_time", "cycles", "samples", "cluster_id", "kubeconfig", "kube_context", "image_nginx",
	} {
		require.ErrorContains(t, err, name)
	}
}

func TestAFieldThatIsNotKnownAndADurationThatIsNoneAreErrors(t *testing.T) {
	t.Parallel()
	_, err := ReadTestFile(written(t, `{"clusterid": "c1"}`))
	require.ErrorContains(t, err, "clusterid")
	for _, bad := range []string{"60", "-1s", ""} {
		_, err = ReadTestFile(written(t, `{"pod_timeout": "`+bad+`"}`))
		require.Error(t, err, bad)
	}
	_, err = ReadTestFile(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWithoutAClusterOnlyThePropagatorIsWanted(t *testing.T) {
	t.Parallel()
	s, err := read(t, map[string]string{"SEED": "18446744073709551615"})
	require.NoError(t, err)
	want := TestFile{Tests: s.Suite.Tests, Backend: BackendLive, URL: "https://ci.example", NoCluster: "no right", RunID: "1a2b", Artifacts: "/a"}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	got, err := ReadTestFile(written(t, string(text)))
	require.NoError(t, err)
	require.Equal(t, want, got, "nothing is lost on the way")
	require.Contains(t, string(text), `"pod_timeout":"1m0s"`)
}
