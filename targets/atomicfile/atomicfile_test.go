package atomicfile

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWriteMakesTheDirectoryAndSetsTheMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b", "file")
	require.NoError(t, Write(path, []byte("old"), 0o644))
	require.NoError(t, Write(path, []byte("new"), 0o600))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(content))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	all, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, all, 1, "nothing else may stay")
}

func TestAReaderSeesOneContentOrTheOther(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	contents := []string{strings.Repeat("a", 64<<10), strings.Repeat("b", 32<<10)}
	require.NoError(t, Write(path, []byte(contents[0]), 0o600))
	var writers sync.WaitGroup
	for _, content := range contents {
		writers.Go(func() {
			for range 20 {
				assert.NoError(t, Write(path, []byte(content), 0o600))
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, string(now) == contents[0] || string(now) == contents[1], "%d bytes were there", len(now))
	}
}

func TestAFileThatCannotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, Write(filepath.Join(file, "below"), nil, 0o600), "write "+filepath.Join(file, "below"))
}
