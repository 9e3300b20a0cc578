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

// running is the state of a container whose process has an environment.
func running(t *testing.T, pid int, environment ...string) (state, bundle string) {
	t.Helper()
	bundle = t.TempDir()
	write := func(path string, v any) {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	write(filepath.Join(bundle, "config.json"), map[string]any{"process": map[string]any{"env": environment}})
	state = filepath.Join(t.TempDir(), "state.json")
	write(state, map[string]any{"init_process_pid": pid, "config": map[string]any{"labels": []string{"bundle=" + bundle}}})
	return state, bundle
}

func TestTheSourceIsAnotherContainerThatDeclaresTheSameCheckpoint(t *testing.T) {
	t.Parallel()
	source, bundle := running(t, 7, "CEDANA_CHECKPOINT=jobs")
	other, _ := running(t, 8, "CEDANA_CHECKPOINT=other")
	restored := runtime.Target{Name: "jobs", Bundle: "/b"}
	require.Equal(t, 7, declaring(source, restored))
	require.Zero(t, declaring(other, restored))
	require.Zero(t, declaring(source, runtime.Target{Name: "jobs", Bundle: bundle}), "the restored one itself")
	require.Zero(t, declaring(filepath.Join(t.TempDir(), "gone"), restored))
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
