package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/build/gobuildtest"
	"github.com/cedana/cedana-e2e/targets/console/consoletest"
)

const someKey = "0123456789abcdef"

func TestTwoRunsAtOnceMakeAThingOnce(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			// A store each, as each process has: only the lock file is between them.
			path, err := NewStore(home, nil).File(t.Context(), "thing", someKey, ".txt", func(_ context.Context, path string) error {
				made.Add(1)
				time.Sleep(20 * time.Millisecond)
				return os.WriteFile(path, []byte("whole"), 0o644)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != "whole" {
				t.Errorf("read %q, %v", content, err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, made.Load())
}

func TestFailedBuildLeavesNothingAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	store := NewStore(home, nil)
	broken := errors.New("disk full")
	_, err := store.File(t.Context(), "thing", someKey, "", func(_ context.Context, path string) error {
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o644))
		return broken
	})
	require.ErrorIs(t, err, broken)
	left, err := filepath.Glob(home + "/build/thing*")
	require.NoError(t, err)
	require.Empty(t, left)

	path, err := store.File(t.Context(), "thing", someKey, "", func(_ context.Context, path string) error {
		return os.WriteFile(path, []byte("whole"), 0o644)
	})
	require.NoError(t, err)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "whole", string(content))
}

func TestWhatAKilledRunLeftBehindIsReplaced(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	gobuildtest.Write(t, home, map[string]string{"build/thing-" + someKey + ".tmp/half": "half"})
	path, err := NewStore(home, nil).File(t.Context(), "thing", someKey, "", func(_ context.Context, dir string) error {
		return os.Mkdir(dir, 0o755)
	})
	require.NoError(t, err)
	entries, err := os.ReadDir(path)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestWaitForAnotherRunIsSaidAndCanBeLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		home := t.TempDir()
		first, started, finish := make(chan error, 1), make(chan struct{}), make(chan struct{})
		go func() {
			_, err := NewStore(home, nil).File(t.Context(), "thing", someKey, "", func(_ context.Context, path string) error {
				close(started)
				<-finish
				return os.WriteFile(path, nil, 0o644)
			})
			first <- err
		}()
		<-started
		heard := &consoletest.Recorder{}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := NewStore(home, heard).File(ctx, "thing", someKey, "", func(context.Context, string) error {
			return errors.New("made twice")
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "wait for another process, which makes thing")
		require.Contains(t, heard.Take()[0], "wait for another process, which makes thing")
		close(finish)
		require.NoError(t, <-first)
	})
}

func TestCacheKeepsTheLastThreeVersions(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	store := NewStore(home, nil)
	build := func(key string) {
		path, err := store.File(t.Context(), "thing", key, ".tar", func(_ context.Context, path string) error {
			return os.WriteFile(path, nil, 0o644)
		})
		require.NoError(t, err)
		require.FileExists(t, path)
		time.Sleep(5 * time.Millisecond) // file times are no finer than that everywhere
	}
	gobuildtest.Write(t, home, map[string]string{"build/thing-else-" + someKey + ".tar": "another artifact"})
	for i := range 3 {
		build(fmt.Sprintf("%016x", i))
	}
	build(fmt.Sprintf("%016x", 0)) // used again, so not the oldest any more
	build(fmt.Sprintf("%016x", 9))
	left, err := filepath.Glob(home + "/build/thing-*.tar")
	require.NoError(t, err)
	require.Equal(t, []string{
		home + "/build/thing-0000000000000000.tar",
		home + "/build/thing-0000000000000002.tar",
		home + "/build/thing-0000000000000009.tar",
		home + "/build/thing-else-" + someKey + ".tar",
	}, left)
}

func TestImageIsATarballUnderItsName(t *testing.T) {
	t.Parallel()
	store := NewStore(t.TempDir(), nil)
	has, err := store.HasImage("hello")
	require.NoError(t, err)
	require.False(t, has)
	made, err := store.Image(t.Context(), "hello", someKey, func(context.Context) (v1.Image, error) {
		layer, err := Layer(Text("greeting", "hello"))
		if err != nil {
			return nil, err
		}
		return Compose(v1.Config{Cmd: []string{"/greeting"}}, layer)
	})
	require.NoError(t, err)
	require.Equal(t, "cedana-e2e.local/hello:"+someKey, made.Ref)
	has, err = store.HasImage("hello")
	require.NoError(t, err)
	require.True(t, has)

	img, err := tarball.ImageFromPath(made.Path, nil)
	require.NoError(t, err)
	config, err := img.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, []string{"/greeting"}, config.Config.Cmd)
	require.Equal(t, "true", config.Config.Labels["ai.cedana.e2e"], "by which cleanup finds it")
}
