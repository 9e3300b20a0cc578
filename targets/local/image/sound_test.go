package image

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console/consoletest"
)

// made puts a directory with two files into a store, and returns a function that asks for it again and counts how often
// it was made.
func made(t *testing.T) (path string, again func() int, progress *consoletest.Recorder) {
	t.Helper()
	home, n := t.TempDir(), 0
	progress = &consoletest.Recorder{}
	ask := func() int {
		var err error
		path, err = NewStore(home, progress).File(t.Context(), "thing", someKey, "", func(_ context.Context, path string) error {
			n++
			require.NoError(t, os.MkdirAll(filepath.Join(path, "sub"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(path, "sub", "large"), []byte("0123456789"), 0o644))
			return os.WriteFile(filepath.Join(path, "small"), []byte("x"), 0o644)
		})
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 1, ask())
	require.Equal(t, 1, ask(), "what is sound is not made again")
	return path, ask, progress
}

func TestWhatAPowerCutEmptiedIsMadeAnew(t *testing.T) {
	t.Parallel()
	path, again, progress := made(t)
	require.NoError(t, os.Truncate(filepath.Join(path, "sub", "large"), 0))
	require.Equal(t, 2, again())
	require.Contains(t, strings.Join(progress.Take(), "\n"), "make "+path+" anew")
	content, err := os.ReadFile(filepath.Join(path, "sub", "large"))
	require.NoError(t, err)
	require.Equal(t, "0123456789", string(content))
}

func TestWhatHasNoProofIsMadeAnew(t *testing.T) {
	t.Parallel()
	path, again, _ := made(t)
	require.NoError(t, os.Remove(path+proofExt))
	require.Equal(t, 2, again())
	require.NoError(t, os.WriteFile(path+proofExt, nil, 0o644))
	require.Equal(t, 3, again())
}

func TestContentIsComparedOnceInEachBoot(t *testing.T) {
	t.Parallel()
	path, again, _ := made(t)
	p, err := prove(path)
	require.NoError(t, err)
	p.Boot = "another"
	require.NoError(t, p.write(path))
	require.Equal(t, 1, again(), "the content is right, and that is written down for this boot")

	// The same length: seen when the machine has been started again, and not before.
	require.NoError(t, os.WriteFile(filepath.Join(path, "sub", "large"), []byte("9876543210"), 0o644))
	require.Equal(t, 1, again())
	p.Boot = "another"
	require.NoError(t, p.write(path))
	require.Equal(t, 2, again())
}
