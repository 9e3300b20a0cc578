package declared

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheNameIsTheVariablesLastValue(t *testing.T) {
	t.Parallel()
	require.Empty(t, Name(nil))
	require.Empty(t, Name([]string{"PATH=/bin", "CEDANA_CHECKPOINTS=no", "CEDANA_CHECKPOINT="}))
	require.Equal(t, "b=c", Name([]string{"CEDANA_CHECKPOINT=a", "CEDANA_CHECKPOINT=b=c", "X=y"}))
}
