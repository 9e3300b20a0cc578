package targets

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// The rows run one after the other, because the environment is the process's.
func TestPodsToTryAreNamedAndReadBeforeAnythingIsMade(t *testing.T) {
	dir := t.TempDir()
	service := filepath.Join(dir, "service.yaml")
	require.NoError(t, os.WriteFile(service, []byte("apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"), 0o600))
	home := filepath.Join(dir, "home")
	t.Setenv("E2E_HOME", home)
	t.Setenv("E2E_ARTIFACTS", filepath.Join(dir, "artifacts"))
	for pod, says := range map[string]string{
		"":                              "POD: names no manifest",
		filepath.Join(dir, "none.yaml"): "no such file",
		service:                         "makes a pod",
	} {
		t.Setenv("POD", pod)
		err := Try(t.Context())
		require.ErrorContains(t, err, says)
		require.ErrorAs(t, err, &settings.Problems{})
		require.NoDirExists(t, home)
	}
}
