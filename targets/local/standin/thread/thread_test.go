package thread

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestWhatIsDoneApartIsOnAThreadOfItsOwn(t *testing.T) {
	t.Parallel()
	first, second := 0, 0
	failed := errors.New("failed")
	require.ErrorIs(t, Apart(func() error {
		first = unix.Gettid()
		// The first thread is still locked while this runs.
		return errors.Join(failed, Apart(func() error {
			second = unix.Gettid()
			return nil
		}))
	}), failed)
	require.NotZero(t, first)
	require.NotEqual(t, first, second)
}
