package helperfault

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/helper"
)

// dumpedInTest is a checkpoint of this process, which holds one of its two files open.
func dumpedInTest(t *testing.T) *helper.Dumped {
	t.Helper()
	d := &helper.Dumped{Container: helper.Container{Name: "main", Pid: os.Getpid()}, Checkpoint: archive.Checkpoint{Dir: t.TempDir()}}
	for _, dir := range []string{archive.ImagesDir, archive.VolumesDir} {
		require.NoError(t, os.Mkdir(d.Checkpoint.Path(dir), 0o700))
	}
	files := t.TempDir()
	held, err := os.Create(filepath.Join(files, "held"))
	require.NoError(t, err)
	t.Cleanup(func() { held.Close() })
	require.NoError(t, os.WriteFile(filepath.Join(files, "closed"), nil, 0o600))
	for _, path := range []string{archive.RootfsDiff, archive.VolumeTar("data")} {
		out, err := os.Create(d.Checkpoint.Path(path))
		require.NoError(t, err)
		require.NoError(t, archive.Tree(out, files))
		require.NoError(t, out.Close())
	}
	require.NoError(t, d.Checkpoint.WriteJSON(archive.DeletedFiles, []string{"gone"}))
	require.NoError(t, os.WriteFile(d.Checkpoint.Path(archive.ImagesDir+"/pages-1.img"), make([]byte, 5*os.Getpagesize()), 0o600))
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

func TestEachFaultSpoilsOneThingInACheckpoint(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
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
		fault.ImageDiffers:        {append(slices.Clone(all), strings.TrimPrefix(self, "/")), all, []string{"gone"}, 0},
		fault.MemoryFlipped:       {all, all, []string{"gone"}, os.Getpagesize()},
	} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			d := dumpedInTest(t)
			dump := func(context.Context, helper.DumpRequest) ([]*helper.Dumped, time.Duration, error) {
				return []*helper.Dumped{d}, time.Second, nil
			}
			all, frozen, err := decorate(dump, func() fault.Name { return name })(t.Context(), helper.DumpRequest{})
			require.NoError(t, err)
			require.Len(t, all, 1)
			require.Equal(t, time.Second, frozen)
			require.Equal(t, want.root, names(t, d.Checkpoint.Path(archive.RootfsDiff)))
			require.Equal(t, want.volume, names(t, d.Checkpoint.Path(archive.VolumeTar("data"))))
			deleted, err := d.Checkpoint.Deleted()
			require.NoError(t, err)
			require.Equal(t, want.deleted, deleted)
			pages, err := os.ReadFile(d.Checkpoint.Path(archive.ImagesDir + "/pages-1.img"))
			require.NoError(t, err)
			require.Equal(t, want.flipped, bytes.Count(pages, []byte{0xff}))
		})
	}
}

func TestAnyRuncRootIsTakenForTheNodes(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]string{"": "/elsewhere", fault.AnyRuncRoot: ""} {
		dump := func(_ context.Context, r helper.DumpRequest) ([]*helper.Dumped, time.Duration, error) {
			require.Equal(t, want, r.RuncRoot)
			return nil, 0, nil
		}
		_, _, err := decorate(dump, func() fault.Name { return name })(t.Context(), helper.DumpRequest{RuncRoot: "/elsewhere"})
		require.NoError(t, err)
	}
}

func TestTheFirstContainerIsOfAnEarlierFreeze(t *testing.T) {
	t.Parallel()
	for _, containers := range []int{1, 2, 3} {
		var dirs []string
		dump := func(_ context.Context, r helper.DumpRequest) (all []*helper.Dumped, _ time.Duration, _ error) {
			dirs = append(dirs, r.Dir)
			for range containers {
				all = append(all, &helper.Dumped{Checkpoint: archive.Checkpoint{Dir: r.Dir}})
			}
			return all, time.Second, nil
		}
		all, _, err := decorate(dump, func() fault.Name { return fault.FrozenApart })(t.Context(), helper.DumpRequest{Dir: "/work"})
		require.NoError(t, err)
		require.Len(t, all, containers)
		require.Len(t, dirs, min(containers, 2))
		for i, d := range all {
			require.Equal(t, dirs[min(i, 1)], d.Checkpoint.Dir)
		}
	}
}

func TestEveryFaultOfTheHelperIsOneThatItCanShow(t *testing.T) {
	t.Parallel()
	for _, f := range fault.All() {
		helps := f.Name == fault.ImageDiffers
		require.Equal(t, f.By == fault.Helper || helps, spoils[f.Name] != nil || f.Name == fault.AnyRuncRoot || f.Name == fault.FrozenApart, "%s is the %s's", f.Name, f.By)
	}
}
