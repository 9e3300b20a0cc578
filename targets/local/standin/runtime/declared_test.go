package runtime

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
)

// writeBundle is the directory of a bundle with annotations and an environment.
func writeBundle(t *testing.T, annotations map[string]string, environment ...string) string {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(map[string]any{
		"root": map[string]string{"path": "rootfs"}, "process": map[string]any{"env": environment}, "annotations": annotations,
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600))
	return dir
}

func TestAContainerDeclaresACheckpointInItsEnvironment(t *testing.T) {
	t.Parallel()
	plain := restored(map[string]string{
		work.AnnotationCheckpoint: "", work.AnnotationRestore: "", bundle.AnnotationPod: "web-2", bundle.AnnotationNamespace: "shop",
	})
	got, err := readTarget(writeBundle(t, plain, "PATH=/bin", "CEDANA_CHECKPOINT=jobs"))
	require.NoError(t, err)
	require.Equal(t, []string{"jobs", "", "web", "web-2", "shop"}, []string{got.Name, got.Checkpoint, got.Container, got.Pod, got.Namespace})

	got, err = readTarget(writeBundle(t, plain, "PATH=/bin", "CEDANA_CHECKPOINT="))
	require.NoError(t, err)
	require.Nil(t, got, "no name")

	got, err = readTarget(writeBundle(t, restored(nil), "CEDANA_CHECKPOINT=jobs"))
	require.NoError(t, err)
	require.Equal(t, []string{"", "checkpoint-1"}, []string{got.Name, got.Checkpoint}, "a restore that was asked for is of the checkpoint asked for")

	sandbox := restored(map[string]string{work.AnnotationCheckpoint: "", bundle.AnnotationType: "sandbox"})
	got, err = readTarget(writeBundle(t, sandbox, "CEDANA_CHECKPOINT=jobs"))
	require.NoError(t, err)
	require.Nil(t, got, "the pod's sandbox")
}

func TestThePodsContainersOfANameTakeOneCheckpoint(t *testing.T) {
	t.Parallel()
	var asked []work.Declared
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var d work.Declared
		if json.NewDecoder(r.Body).Decode(&d) == nil {
			asked = append(asked, d)
		}
		_ = json.NewEncoder(w).Encode(work.Choice{ActionID: "the-action"})
	}))
	t.Cleanup(server.Close)
	source, err := worker.New(server.URL, "a-token", work.RoleHelper, "cluster", "node", nil)
	require.NoError(t, err)
	marks := markers{t.TempDir()}
	first := Target{Container: "a", Name: "jobs/of mine", PodUID: "u", Pod: "p", Namespace: "ns"}
	require.NoError(t, first.chooseFrom(t.Context(), source, marks))
	require.Equal(t, "the-action", first.Checkpoint)
	require.NoError(t, first.settle(marks))
	second := Target{Container: "b", Name: "jobs/of mine", PodUID: "u", Pod: "p", Namespace: "ns"}
	require.NoError(t, second.chooseFrom(t.Context(), source, marks))
	require.Equal(t, []work.Declared{
		{ClusterID: "cluster", PodUID: "u", PodName: "p", Namespace: "ns", Container: "a", Name: "jobs/of mine"},
		{ClusterID: "cluster", PodUID: "u", PodName: "p", Namespace: "ns", Container: "b", Name: "jobs/of mine", ActionID: "the-action"},
	}, asked)
	require.NoError(t, Target{Checkpoint: "by-annotation"}.settle(markers{filepath.Join(t.TempDir(), "none")}))
}

func TestAContainerIsDecidedOnceARestartStartsAfresh(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(work.Choice{})
	}))
	t.Cleanup(server.Close)
	source, err := worker.New(server.URL, "a-token", work.RoleHelper, "cluster", "node", nil)
	require.NoError(t, err)
	marks := markers{t.TempDir()}
	decided, err := marks.decided("web")
	require.NoError(t, err)
	require.False(t, decided)
	web := Target{Container: "web", Name: "jobs"}
	require.NoError(t, web.chooseFrom(t.Context(), source, marks))
	require.Empty(t, web.Checkpoint)
	decided, err = marks.decided("web")
	require.NoError(t, err)
	require.True(t, decided)
	require.NoError(t, marks.set(kindContainer, "db", "an-action"))
	decided, err = marks.decided("db")
	require.NoError(t, err)
	require.True(t, decided)
}
