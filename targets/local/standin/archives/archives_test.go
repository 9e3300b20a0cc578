package archives

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const helloSum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAnArchiveIsThereWithItsSum(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put, err := s.Put(t.Context(), "a/b.tar", helloSum, strings.NewReader("hello"))
	require.NoError(t, err)
	assert.Equal(t, helloSum, put.SHA256)
	assert.EqualValues(t, 5, put.Size)

	again := open(t, dir) // which has to read the file for its sum
	got, err := again.Stat("a/b.tar")
	require.NoError(t, err)
	assert.Equal(t, helloSum, got.SHA256)
	file, err := again.Open("a/b.tar")
	require.NoError(t, err)
	defer file.Close()
	content, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(content))
}

func TestAPutThatFailsLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, put := range map[string]func(*Store) error{
		"wrong sum": func(s *Store) error {
			_, err := s.Put(t.Context(), "a", "00", strings.NewReader("other"))
			return err
		},
		"broken off": func(s *Store) error {
			_, err := s.Put(t.Context(), "a", "", io.MultiReader(strings.NewReader("oth"), iotest.ErrReader(errors.New("gone"))))
			return err
		},
		"cancelled": func(s *Store) error {
			_, err := s.Put(cancelled, "a", "", strings.NewReader("other"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir)
			_, err := s.Put(t.Context(), "a", "", strings.NewReader("hello"))
			require.NoError(t, err)
			require.Error(t, put(s))
			got, err := s.Stat("a")
			require.NoError(t, err)
			assert.Equal(t, helloSum, got.SHA256)
			left, err := os.ReadDir(filepath.Join(dir, "uploads"))
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

func TestAPathStaysInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, os.Symlink("/etc", filepath.Join(dir, "archives", "link")))
	for _, p := range []string{"", ".", "..", "../x", "/etc/passwd", "a/../b", "a//b", "a/", strings.Repeat("x", 2000)} {
		_, err := s.Put(t.Context(), p, "", strings.NewReader("x"))
		require.ErrorIs(t, err, ErrBadPath, "%.20q", p)
		_, err = s.Open(p)
		require.ErrorIs(t, err, ErrBadPath, "%.20q", p)
		require.ErrorIs(t, s.Remove(p), ErrBadPath, "%.20q", p)
	}
	_, err := s.Open("link/passwd")
	require.Error(t, err)
	_, err = s.Put(t.Context(), "link/x", "", strings.NewReader("x"))
	require.Error(t, err)
}

func TestRemovingTakesEmptyDirectoriesAlong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for _, p := range []string{"a/b/one", "a/two"} {
		_, err := s.Put(t.Context(), p, "", strings.NewReader("x"))
		require.NoError(t, err)
	}
	entries, err := s.List("")
	require.NoError(t, err)
	assert.Len(t, entries, 2)
	require.NoError(t, s.Remove("a/b/one"))
	require.NoError(t, s.Remove("a/b/one"), "again is no error")
	assert.NoDirExists(t, filepath.Join(dir, "archives", "a", "b"))
	_, err = s.Stat("a/b/one")
	require.ErrorIs(t, err, fs.ErrNotExist)
	entries, err = s.List("a")
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "a/two", entries[0].Path)
	none, err := s.List("nothing")
	require.NoError(t, err)
	assert.Empty(t, none)
	_, err = s.Open("a")
	require.ErrorIs(t, err, fs.ErrNotExist, "a directory is no archive")
}

func TestUnfinishedUploadsAreGoneAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "uploads", "half"), []byte("half"), 0o600))
	open(t, dir)
	left, err := os.ReadDir(filepath.Join(dir, "uploads"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
