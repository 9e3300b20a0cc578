package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
)

func headers(t *testing.T, r io.Reader) (list []*tar.Header, contents map[string]string) {
	t.Helper()
	contents = map[string]string{}
	in := tar.NewReader(r)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return list, contents
		}
		require.NoError(t, err)
		content, err := io.ReadAll(in)
		require.NoError(t, err)
		list, contents[header.Name] = append(list, header), string(content)
	}
}

func open(t *testing.T, layer v1.Layer) io.Reader {
	t.Helper()
	r, err := layer.Uncompressed()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func TestLayerHasEntriesInOrderWithTheirParents(t *testing.T) {
	t.Parallel()
	source := t.TempDir() + "/program"
	require.NoError(t, os.WriteFile(source, []byte("#!"), 0o600))
	layer, err := Layer(
		Text("/etc/motd", "first"),
		File("usr/bin/program", source, 0o755),
		Link("bin", "usr/bin"),
		Dir("tmp", fs.ModeSticky|0o777),
		Text("etc/motd", "second"),
	)
	require.NoError(t, err)
	list, contents := headers(t, open(t, layer))
	type entry struct {
		name, link string
		mode       int64
	}
	var got []entry
	for _, h := range list {
		require.Zero(t, h.Uid+h.Gid, h.Name)
		got = append(got, entry{h.Name, h.Linkname, h.Mode})
	}
	require.Equal(t, []entry{
		{"bin", "usr/bin", 0o777},
		{"etc/", "", 0o755},
		{"etc/motd", "", 0o644},
		{"tmp/", "", 0o1777},
		{"usr/", "", 0o755},
		{"usr/bin/", "", 0o755},
		{"usr/bin/program", "", 0o755},
	}, got)
	require.Equal(t, "second", contents["etc/motd"], "of two entries with one path the later counts")
	require.Equal(t, "#!", contents["usr/bin/program"])
}

func TestEqualEntriesGiveEqualLayers(t *testing.T) {
	t.Parallel()
	var ids []v1.Hash
	for range 2 {
		source := t.TempDir() + "/program"
		require.NoError(t, os.WriteFile(source, []byte("same"), 0o755))
		require.NoError(t, os.Chtimes(source, time.Time{}, time.Now().Add(time.Duration(len(ids))*time.Hour)))
		layer, err := Layer(File("program", source, 0o755), Text("b", "2"), Text("a", "1"))
		require.NoError(t, err)
		id, err := layer.DiffID()
		require.NoError(t, err)
		ids = append(ids, id)
	}
	require.Equal(t, ids[0], ids[1])
}

func TestMissingSourceIsAnErrorThatNamesTheEntry(t *testing.T) {
	t.Parallel()
	_, err := Layer(File("usr/bin/program", "/does/not/exist", 0o755))
	require.ErrorContains(t, err, "usr/bin/program")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTarTakesFilesAsTheyAreAndEachPathOnce(t *testing.T) {
	t.Parallel()
	archive := func(at time.Time) []byte {
		var out bytes.Buffer
		a := NewTar(&out)
		for range 2 { // as two packages have it
			require.NoError(t, a.Copy(&tar.Header{Typeflag: tar.TypeDir, Name: "usr/bin/", Mode: 0o755, ModTime: at}, nothing))
		}
		perl := &tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/perl", Mode: 0o4755, Gid: 42, Size: 4, ModTime: at}
		require.NoError(t, a.Copy(perl, strings.NewReader("perl")))
		require.NoError(t, a.Copy(&tar.Header{Typeflag: tar.TypeLink, Name: "usr/bin/perl5", Linkname: "usr/bin/perl", ModTime: at}, nothing))
		require.NoError(t, a.Copy(&tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/pl", Linkname: "perl", ModTime: at}, nothing))
		require.NoError(t, a.Copy(&tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", ModTime: at}, nothing))
		require.NoError(t, a.Add(Text("usr/bin/perl", "another")))
		require.NoError(t, a.Add(Text("etc/passwd", "root")))
		require.NoError(t, a.Close())
		return out.Bytes()
	}
	first := archive(time.Now())
	list, contents := headers(t, bytes.NewReader(first))
	var names []string
	byName := map[string]*tar.Header{}
	for _, h := range list {
		names, byName[h.Name] = append(names, h.Name), h
	}
	require.Equal(t, []string{"usr/bin/", "usr/bin/perl", "usr/bin/perl5", "usr/bin/pl", "etc/passwd"}, names)
	require.EqualValues(t, 0o4755, byName["usr/bin/perl"].Mode)
	require.Equal(t, 42, byName["usr/bin/perl"].Gid)
	require.Equal(t, "perl", contents["usr/bin/perl"], "the first of two counts")
	require.Equal(t, "usr/bin/perl", byName["usr/bin/perl5"].Linkname)
	require.EqualValues(t, tar.TypeLink, byName["usr/bin/perl5"].Typeflag)
	require.Equal(t, "perl", byName["usr/bin/pl"].Linkname)
	require.Equal(t, "root", contents["etc/passwd"])
	require.Equal(t, first, archive(time.Unix(1, 0)), "times do not count")
}

var nothing = strings.NewReader("")
