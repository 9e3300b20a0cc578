package targets

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// What is wrong with the document is told with the other problems of the environment, which end a run with code 2.
func TestABadDocumentIsAProblemOfTheEnvironment(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "openapi.json")
	require.NoError(t, os.WriteFile(bad, []byte(`{"openapi":"2.0"}`), 0o600))
	other := settings.Problems{{Name: "E2E_CYCLES", Reason: "is odd", Example: "20"}}
	_, err := loadContract(bad, other)
	var problems settings.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 2)
	require.Equal(t, 2, problems.ExitStatus())
	require.ErrorContains(t, err, "E2E_CYCLES")
	require.ErrorContains(t, err, "E2E_OPENAPI: parse OpenAPI document "+bad)

	_, err = loadContract(filepath.Join(t.TempDir(), "none"), nil)
	require.ErrorContains(t, err, "E2E_OPENAPI: read OpenAPI document")
	check, err := loadContract("", nil)
	require.NoError(t, err)
	require.Nil(t, check)
	failure := errors.New("another failure")
	_, err = loadContract(bad, failure)
	require.Equal(t, failure, err)
}
