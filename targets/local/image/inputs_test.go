package image

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/build/gobuildtest"
)

func key(t *testing.T, in *Inputs) string {
	t.Helper()
	k, err := in.Key()
	require.NoError(t, err)
	require.Len(t, k, 16)
	return k
}

func TestKeyFollowsWhatCounts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, dir string){
		"a file's content": func(t *testing.T, dir string) { gobuildtest.Write(t, dir, map[string]string{"a": "changed"}) },
		"a file's name":    func(t *testing.T, dir string) { require.NoError(t, os.Rename(dir+"/a", dir+"/c")) },
		"a new file":       func(t *testing.T, dir string) { gobuildtest.Write(t, dir, map[string]string{"sub/new": ""}) },
		"a lost file":      func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+"/sub/b")) },
		"executable":       func(t *testing.T, dir string) { require.NoError(t, os.Chmod(dir+"/a", 0o755)) },
		"a link's target": func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(dir+"/link"))
			require.NoError(t, os.Symlink("elsewhere", dir+"/link"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			gobuildtest.Write(t, dir, map[string]string{"a": "1", "sub/b": "2"})
			require.NoError(t, os.Symlink("a", dir+"/link"))
			before := key(t, NewInputs("x", 1).Tree("tree", dir))
			change(t, dir)
			require.NotEqual(t, before, key(t, NewInputs("x", 1).Tree("tree", dir)))
		})
	}
}

func TestKeyIgnoresTimesAndPlace(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		gobuildtest.Write(t, dir, map[string]string{"a": "1", "sub/b": "2"})
	}
	require.NoError(t, os.Chtimes(two+"/a", time.Unix(0, 0), time.Unix(0, 0)))
	require.Equal(t, key(t, NewInputs("x", 1).Tree("tree", one)), key(t, NewInputs("x", 1).Tree("tree", two)))
}

func TestNoTwoSequencesLookTheSame(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for i, in := range []*Inputs{
		NewInputs("x", 1),
		NewInputs("x", 2),
		NewInputs("x 1", 1),
		NewInputs("x", 1).Text("a", "b"),
		NewInputs("x", 1).Text("a", "b", ""),
		NewInputs("x", 1).Text("a", "b").Text("c"),
		NewInputs("x", 1).Text("a", "bc"),
		NewInputs("x", 1).Text("ab", "c"),
	} {
		k := key(t, in)
		other, dup := seen[k]
		require.False(t, dup, "inputs %d and %d have one key", i, other)
		seen[k] = i
	}
}

func TestMissingInputIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	_, err := NewInputs("x", 1).File("package list", "/does/not/exist").Text("more", "text").Key()
	require.ErrorContains(t, err, "package list")
	require.ErrorIs(t, err, os.ErrNotExist)
}
