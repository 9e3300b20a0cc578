package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), mode))
	require.NoError(t, os.Chmod(path, mode))
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestTreeComesBackAsItWas(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	write(t, filepath.Join(from, "dir/file"), "content", 0o640)
	write(t, filepath.Join(from, "dir/runs"), "#!", os.ModeSetuid|0o755)
	write(t, filepath.Join(from, "empty"), "", 0o600)
	require.NoError(t, os.Symlink("/nowhere/../at all", filepath.Join(from, "dir/link")))
	require.NoError(t, os.Link(filepath.Join(from, "dir/file"), filepath.Join(from, "second")))
	require.NoError(t, unix.Mkfifo(filepath.Join(from, "pipe"), 0o622))
	require.NoError(t, os.Chmod(filepath.Join(from, "pipe"), 0o622))
	require.NoError(t, os.Mkdir(filepath.Join(from, "sticky"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(from, "sticky"), os.ModeSticky|0o777))
	require.NoError(t, os.Chtimes(filepath.Join(from, "dir/file"), old, old))
	require.NoError(t, os.Chtimes(filepath.Join(from, "dir"), old, old))
	attrs := unix.Setxattr(filepath.Join(from, "dir/file"), "user.mark", []byte("kept\x00"), 0) == nil

	var b bytes.Buffer
	require.NoError(t, Tree(&b, from))
	require.NoError(t, Extract(to, &b))

	require.Equal(t, "content", read(t, filepath.Join(to, "dir/file")))
	for name, mode := range map[string]fs.FileMode{
		"dir/file": 0o640, "dir/runs": fs.ModeSetuid | 0o755, "empty": 0o600,
		"sticky": fs.ModeDir | fs.ModeSticky | 0o777, "pipe": fs.ModeNamedPipe | 0o622,
	} {
		info, err := os.Lstat(filepath.Join(to, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), name)
	}
	link, err := os.Readlink(filepath.Join(to, "dir/link"))
	require.NoError(t, err)
	require.Equal(t, "/nowhere/../at all", link)
	for _, name := range []string{"dir/file", "dir"} {
		info, err := os.Stat(filepath.Join(to, name))
		require.NoError(t, err)
		require.True(t, old.Equal(info.ModTime()), "%s: %s", name, info.ModTime())
	}
	one, err := os.Stat(filepath.Join(to, "dir/file"))
	require.NoError(t, err)
	two, err := os.Stat(filepath.Join(to, "second"))
	require.NoError(t, err)
	require.True(t, os.SameFile(one, two), "a hard link stays one")
	if attrs {
		value, err := xattr(filepath.Join(to, "dir/file"), "user.mark")
		require.NoError(t, err)
		require.Equal(t, "kept\x00", value)
	}
}

func TestExtractReplacesWhatIsThere(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "was-dir"), "file", 0o644)
	write(t, filepath.Join(from, "was-file/inside"), "new", 0o644)
	write(t, filepath.Join(from, "shorter"), "s", 0o644)
	write(t, filepath.Join(to, "was-dir/inside"), "old", 0o644)
	write(t, filepath.Join(to, "was-file"), "old", 0o644)
	write(t, filepath.Join(to, "shorter"), "a longer one", 0o644)
	write(t, filepath.Join(to, "other"), "stays", 0o644)
	var b bytes.Buffer
	require.NoError(t, Tree(&b, from))
	require.NoError(t, Extract(to, &b))
	require.Equal(t, "file", read(t, filepath.Join(to, "was-dir")))
	require.Equal(t, "new", read(t, filepath.Join(to, "was-file/inside")))
	require.Equal(t, "s", read(t, filepath.Join(to, "shorter")))
	require.Equal(t, "stays", read(t, filepath.Join(to, "other")))
}

func TestNothingIsWrittenOutside(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"absolute": "", "relative": "../.."} {
		outside, to := t.TempDir(), filepath.Join(t.TempDir(), "a", "b")
		require.NoError(t, os.MkdirAll(to, 0o755))
		if target == "" {
			target = outside
		}
		require.NoError(t, os.Symlink(target, filepath.Join(to, "way")))
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		require.NoError(t, tw.WriteHeader(&tar.Header{Name: "way/out", Typeflag: tar.TypeReg, Size: 1, Mode: 0o644}))
		_, err := tw.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, tw.Close())
		require.Error(t, Extract(to, &b), name)
		require.NoFileExists(t, filepath.Join(outside, "out"))
		require.NoFileExists(t, filepath.Join(to, target, "out"))
	}
}

func TestDeletedFilesGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "etc/gone"), "", 0o644)
	write(t, filepath.Join(dir, "tree/deep/file"), "", 0o644)
	write(t, filepath.Join(dir, "stays"), "", 0o644)
	require.NoError(t, Delete(dir, []string{"etc/gone", "tree", "never/was/there"}))
	require.NoFileExists(t, filepath.Join(dir, "etc/gone"))
	require.NoDirExists(t, filepath.Join(dir, "tree"))
	require.FileExists(t, filepath.Join(dir, "stays"))
	require.ErrorContains(t, Delete(dir, []string{"/"}), "refusing")
}

func TestAFileThatShrinksIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "four", 0o644)
	var stat unix.Stat_t
	require.NoError(t, unix.Lstat(filepath.Join(dir, "f"), &stat))
	stat.Size = 10
	w := treeWriter{tw: tar.NewWriter(io.Discard), dir: dir, links: map[inode]string{}}
	err := w.add("f", filepath.Join(dir, "f"), &stat)
	require.ErrorIs(t, err, io.EOF)
}

func TestAnEmptiedDirectoryIsThereAndHasNothing(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "kept"), nil, 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, Empty(dir))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.FileExists(t, filepath.Join(outside, "kept"))
	require.Error(t, Empty(filepath.Join(dir, "none")))
}
