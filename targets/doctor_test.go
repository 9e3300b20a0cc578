package targets

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestTheLiveBackendIsNotRefusedOnMacOS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		system, arch string
		backend      settings.Backend
		ok           bool
	}{
		{"linux", "amd64", settings.BackendLocal, true},
		{"linux", "arm64", settings.BackendLive, true},
		{"linux", "riscv64", settings.BackendLive, false},
		{"darwin", "arm64", settings.BackendLive, true},
		{"darwin", "arm64", settings.BackendLocal, false},
		{"windows", "amd64", settings.BackendLive, false},
	} {
		f := machine(c.system, c.arch, c.backend)
		require.Equal(t, c.ok, f.OK, c)
		require.Equal(t, c.ok, f.Remedy == "", "a refusal, and nothing else, says what to do: %v", c)
	}
}
