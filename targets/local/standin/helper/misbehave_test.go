package helper

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// dumpedInTest is a checkpoint of this process, which holds one of its two files open.
func dumpedInTest(t *testing.T) *dumped {
	t.Helper()
	d := &dumped{container: container{Name: "main", Pid: os.Getpid()}, checkpoint: archive.Checkpoint{Dir: t.TempDir()}}
	for _, dir := range []string{archive.ImagesDir, archive.VolumesDir} {
		require.NoError(t, os.Mkdir(d.checkpoint.Path(dir), 0o700))
	}
	files := t.TempDir()
	held, err := os.Create(filepath.Join(files, "held"))
	require.NoError(t, err)
	t.Cleanup(func() { held.Close() })
	require.NoError(t, os.WriteFile(filepath.Join(files, "closed"), nil, 0o600))
	require.NoError(t, writeTree(d.checkpoint.Path(archive.RootfsDiff), files))
	require.NoError(t, writeTree(d.checkpoint.Path(archive.VolumeTar("data")), files))
	require.NoError(t, d.checkpoint.WriteJSON(archive.DeletedFiles, []string{"gone"}))
	require.NoError(t, os.WriteFile(d.checkpoint.Path(archive.ImagesDir+"/pages-1.img"), make([]byte, 5*os.Getpagesize()), 0o600))
	return d
}

func names(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var files []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		require.NoError(t, err)
		if h.Typeflag == tar.TypeReg {
			files = append(files, h.Name)
		}
	}
}

func TestEachRegressionSpoilsOneThingInACheckpoint(t *testing.T) {
	t.Parallel()
	all, onlyHeld := []string{"closed", "held"}, []string{"held"}
	for name, want := range map[fault.Name]struct {
		root, volume, deleted []string
		flipped               int
	}{
		"":                        {all, all, []string{"gone"}, 0},
		fault.ColdStart:           {all, all, []string{"gone"}, 0},
		fault.RootfsLost:          {nil, all, []string{"gone"}, 0},
		fault.RootfsLostForgotten: {onlyHeld, all, []string{"gone"}, 0},
		fault.EmptyDirLost:        {all, onlyHeld, []string{"gone"}, 0},
		fault.DeletedFileReturns:  {all, all, []string{}, 0},
		fault.MemoryFlipped:       {all, all, []string{"gone"}, os.Getpagesize()},
	} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			d := dumpedInTest(t)
			require.NoError(t, misbehave(t.Context(), &work.Work{Regression: name}, []*dumped{d}))
			require.Equal(t, want.root, names(t, d.checkpoint.Path(archive.RootfsDiff)))
			require.Equal(t, want.volume, names(t, d.checkpoint.Path(archive.VolumeTar("data"))))
			deleted, err := d.checkpoint.Deleted()
			require.NoError(t, err)
			require.Equal(t, want.deleted, deleted)
			pages, err := os.ReadFile(d.checkpoint.Path(archive.ImagesDir + "/pages-1.img"))
			require.NoError(t, err)
			require.Equal(t, want.flipped, bytes.Count(pages, []byte{0xff}))
		})
	}
}
