package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"

	metadata "github.com/checkpoint-restore/checkpointctl/lib"
	"github.com/stretchr/testify/require"
)

func sample(t *testing.T) Checkpoint {
	t.Helper()
	c := Checkpoint{Dir: t.TempDir()}
	write(t, c.Path(ImagesDir+"/inventory.img"), "images", 0o600)
	write(t, c.Path(ImagesDir+"/pages-1.img"), strings.Repeat("page", 5000), 0o600)
	write(t, c.Path(RootfsDiff), strings.Repeat("t", 512), 0o600)
	write(t, c.Path(VolumeTar("data")), "volume", 0o600)
	write(t, c.Path(DumpLog), "log", 0o600)
	require.NoError(t, c.WriteJSON(ConfigDump, ContainerConfig{ID: "abc", Name: "web", RootfsImageName: "nginx"}))
	require.NoError(t, c.WriteJSON(SpecDump, map[string]any{"annotations": map[string]string{"k": "v"}}))
	require.NoError(t, c.WriteJSON(DeletedFiles, []string{"etc/gone"}))
	return c
}

func TestArchiveIsReadByCheckpointctlsLibrary(t *testing.T) {
	t.Parallel()
	packed, err := sample(t).Pack()
	require.NoError(t, err)
	stream := packed.Open(CompressionNone)
	defer stream.Close()
	to := t.TempDir()
	_, err = Unpack(to, stream)
	require.NoError(t, err)

	config, _, err := metadata.ReadContainerCheckpointConfigDump(to)
	require.NoError(t, err)
	require.Equal(t, "nginx", config.RootfsImageName)
	spec, _, err := metadata.ReadContainerCheckpointSpecDump(to)
	require.NoError(t, err)
	require.Equal(t, "v", spec.Annotations["k"])
	deleted, _, err := metadata.ReadContainerCheckpointDeletedFiles(to)
	require.NoError(t, err)
	require.Equal(t, []string{"etc/gone"}, deleted)
}

func TestArchiveComesBackWhole(t *testing.T) {
	t.Parallel()
	for _, compression := range []Compression{CompressionNone, CompressionGzip, CompressionZlib, CompressionLZ4, CompressionZstd} {
		packed, err := sample(t).Pack()
		require.NoError(t, err)
		stream := packed.Open(compression)
		data, err := io.ReadAll(stream)
		require.NoError(t, err)
		plain := int64(len(data)) == packed.Size(CompressionNone)
		require.Equal(t, compression == CompressionNone, plain, "%s: %d of %d bytes", compression, len(data), packed.Size(CompressionNone))
		require.Equal(t, plain, packed.Size(compression) == int64(len(data)))
		c, err := Unpack(t.TempDir(), bytes.NewReader(data))
		require.NoError(t, err, compression)
		require.Equal(t, "images", read(t, c.Path(ImagesDir+"/inventory.img")))
		require.Equal(t, strings.Repeat("page", 5000), read(t, c.Path(ImagesDir+"/pages-1.img")))
		volumes, err := c.Volumes()
		require.NoError(t, err)
		require.Equal(t, []string{"data"}, volumes)
		deleted, err := c.Deleted()
		require.NoError(t, err)
		require.Equal(t, []string{"etc/gone"}, deleted)
	}
}

func TestAVolumesNameLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"..", ".", "", "A_b"} {
		c := sample(t)
		write(t, c.Path(VolumeTar(name)), "volume", 0o600)
		_, err := c.Volumes()
		require.ErrorContains(t, err, "is not a volume's name", "%q", name)
	}
}

// A failed upload has read part of it.
func TestAnArchiveIsReadAgainFromItsBeginning(t *testing.T) {
	t.Parallel()
	packed, err := sample(t).Pack()
	require.NoError(t, err)
	for _, compression := range []Compression{CompressionNone, CompressionZstd} {
		cut := packed.Open(compression)
		_, err = io.CopyN(io.Discard, cut, 300)
		require.NoError(t, err)
		require.NoError(t, cut.Close())
		first, err := io.ReadAll(packed.Open(compression))
		require.NoError(t, err)
		again, err := io.ReadAll(packed.Open(compression))
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}

func TestDescriptionsComeFirst(t *testing.T) {
	t.Parallel()
	packed, err := sample(t).Pack()
	require.NoError(t, err)
	stream := packed.Open(CompressionNone)
	defer stream.Close()
	require.Equal(t, []string{ConfigDump, SpecDump}, names(t, stream)[:2])
}

func TestAFileThatChangedSincePackingIsAnError(t *testing.T) {
	t.Parallel()
	c := sample(t)
	packed, err := c.Pack()
	require.NoError(t, err)
	write(t, c.Path(DumpLog), "another log", 0o600)
	stream := packed.Open(CompressionNone)
	defer stream.Close()
	_, err = io.Copy(io.Discard, stream)
	require.ErrorContains(t, err, DumpLog)
}

func TestUnpackRefusesWhatIsNoCheckpoint(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	require.NoError(t, tw.WriteHeader(&tar.Header{Name: "checkpoint", Typeflag: tar.TypeSymlink, Linkname: "/etc"}))
	require.NoError(t, tw.Close())
	_, err := Unpack(t.TempDir(), &b)
	require.ErrorContains(t, err, "checkpoint")

	_, err = Unpack(t.TempDir(), strings.NewReader(strings.Repeat("no tar", 200)))
	require.Error(t, err)

	packed, err := sample(t).Pack()
	require.NoError(t, err)
	whole := packed.Open(CompressionNone)
	defer whole.Close()
	cut := io.LimitReader(whole, packed.Size(CompressionNone)/2)
	_, err = Unpack(t.TempDir(), cut)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestCompressionsThereAre(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Compression{"": CompressionNone, "none": CompressionNone, "tar": CompressionNone, "gzip": CompressionGzip, "zlib": CompressionZlib, "lz4": CompressionLZ4, "zstd": CompressionZstd} {
		got, err := ParseCompression(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"bzip2", "LZ4", "GZIP"} {
		_, err := ParseCompression(text)
		require.ErrorContains(t, err, text)
	}
}
