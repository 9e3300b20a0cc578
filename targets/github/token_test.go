package github

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestAWorkflowIsToldWhetherThereIsAToken(t *testing.T) {
	t.Parallel()
	const canary = "canary-token-77"
	for name, test := range map[string]struct {
		token         settings.Secret
		output, print string
	}{
		"with a token": {canary, "before=1\nthere=true\n", "the live run goes ahead"},
		"without one":  {"", "before=1\nthere=false\n", "::notice title=no live run::the secret CEDANA_AUTH_TOKEN is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "output")
			require.NoError(t, os.WriteFile(path, []byte("before=1\n"), 0o600))
			var out bytes.Buffer
			variables := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": path}
			require.NoError(t, Token(&out, func(name string) string { return variables[name] }, test.token))
			written, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, test.output, string(written))
			require.Contains(t, out.String(), test.print)
			require.NotContains(t, out.String(), canary)
		})
	}
}

func TestOutsideAWorkflowItIsOnlySaid(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, Token(&out, func(string) string { return "" }, ""))
	require.Equal(t, "CEDANA_AUTH_TOKEN is not set: nothing can be run against real Cedana\n", out.String())
}

func TestOutputsThatCannotBeWrittenAreAnError(t *testing.T) {
	t.Parallel()
	err := Token(&bytes.Buffer{}, func(string) string { return "/no/such/directory/output" }, "")
	require.ErrorContains(t, err, "open the step's outputs")
}
