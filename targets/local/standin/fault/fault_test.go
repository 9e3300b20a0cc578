package fault

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryFaultHasAPlainNameAndSaysWhatIsBroken(t *testing.T) {
	t.Parallel()
	seen := map[Name]bool{}
	for _, r := range All() {
		assert.Regexp(t, `^[a-z]+(-[a-z]+)*$`, string(r.Name))
		assert.False(t, seen[r.Name], "%s stands twice", r.Name)
		seen[r.Name] = true
		assert.NotEmpty(t, r.Broken, r.Name)
		assert.NotContains(t, r.Broken, "\n")
		assert.Contains(t, []Component{Propagator, Manager, Helper, Runtime}, r.By)
		parsed, err := Parse(string(r.Name))
		require.NoError(t, err)
		assert.Equal(t, r.Name, parsed)
	}
}

func TestAnUnknownNameIsRefusedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	_, err := Parse("everything")
	require.ErrorContains(t, err, string(ColdStart))
	none, err := Parse("")
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAFaultIsLoud(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	ColdStart.Warn(log)
	require.Contains(t, out.String(), "level=WARN")
	require.Contains(t, out.String(), "cold-start")
}
