package runtimefault

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
)

// running is the runc root and the bundle of the container "c", whose process has an environment.
func running(t *testing.T, pid int, environment ...string) (root, dir string) {
	t.Helper()
	root, dir = t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "c"), 0o700))
	write := func(path string, v any) {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	write(filepath.Join(dir, "config.json"), map[string]any{"process": map[string]any{"env": environment}})
	write(filepath.Join(root, "c", "state.json"), map[string]any{"init_process_pid": pid, "config": map[string]any{"labels": []string{"bundle=" + dir}}})
	return root, dir
}

func TestTheSourceIsAnotherContainerThatDeclaresTheSameCheckpoint(t *testing.T) {
	t.Parallel()
	source, dir := running(t, 7, "CEDANA_CHECKPOINT=jobs")
	other, _ := running(t, 8, "CEDANA_CHECKPOINT=other")
	restored := runtime.Target{Name: "jobs", Bundle: "/b"}
	require.Equal(t, 7, declaring(source, "c", restored))
	require.Zero(t, declaring(other, "c", restored))
	require.Zero(t, declaring(source, "c", runtime.Target{Name: "jobs", Bundle: dir}), "the restored one itself")
	require.Zero(t, declaring(source, "gone", restored))
}

func TestTheFaultOfADeclaredRestoreComesWithThePropagatorsAnswer(t *testing.T) {
	t.Parallel()
	answers := propagatortest.Serve(t, relay.Announce(fault.ColdStart, http.NotFoundHandler()))
	choose := learn(func(_ context.Context, _ *runtime.Target, through http.RoundTripper) error {
		response, err := (&http.Client{Transport: through}).Get(propagatortest.Address)
		require.NoError(t, err)
		return response.Body.Close()
	})
	var declared runtime.Target
	require.NoError(t, choose(t.Context(), &declared, answers))
	require.Equal(t, fault.ColdStart, of(declared))
}
