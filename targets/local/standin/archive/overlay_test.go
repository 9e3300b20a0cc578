package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func whiteout(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	// Anybody may make this one device, since Linux 5.8.
	require.NoError(t, unix.Mknod(path, unix.S_IFCHR, 0))
}

func opaque(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	err := unix.Setxattr(dir, "user.overlay.opaque", []byte("y"), 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system of TMPDIR has no user attributes: set TMPDIR to a directory on ext4, xfs or btrfs")
	}
	require.NoError(t, err)
}

func names(t *testing.T, r io.Reader) []string {
	t.Helper()
	var out []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		out = append(out, h.Name)
	}
}

func TestWhiteoutsBecomeDeletedFiles(t *testing.T) {
	t.Parallel()
	o := Overlay{Upper: t.TempDir()}
	write(t, filepath.Join(o.Upper, "etc/new"), "n", 0o644)
	whiteout(t, filepath.Join(o.Upper, "etc/gone"))
	whiteout(t, filepath.Join(o.Upper, "a"))
	var b bytes.Buffer
	deleted, err := o.Diff(&b)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "etc/gone"}, deleted)
	require.Equal(t, []string{"./", "etc/", "etc/new"}, names(t, &b))
}

func TestAnOpaqueDirectoryDeletesWhatTheImageHas(t *testing.T) {
	t.Parallel()
	top, bottom := t.TempDir(), t.TempDir()
	o := Overlay{Upper: t.TempDir(), Lowers: []string{top, bottom}}
	write(t, filepath.Join(top, "d/image-1"), "", 0o644)
	write(t, filepath.Join(bottom, "d/image-2"), "", 0o644)
	write(t, filepath.Join(bottom, "d/both"), "", 0o644)
	write(t, filepath.Join(bottom, "d/sub/deep"), "", 0o644)
	write(t, filepath.Join(bottom, "other/stays"), "", 0o644)
	opaque(t, filepath.Join(o.Upper, "d"))
	write(t, filepath.Join(o.Upper, "d/both"), "new", 0o644)
	write(t, filepath.Join(o.Upper, "d/sub/new"), "", 0o644)
	write(t, filepath.Join(o.Upper, "other/new"), "", 0o644)
	var b bytes.Buffer
	deleted, err := o.Diff(&b)
	require.NoError(t, err)
	require.Equal(t, []string{"d/image-1", "d/image-2", "d/sub/deep"}, deleted)

	// Laid over a fresh copy of the image, the result is what the container saw.
	image := t.TempDir()
	for _, layer := range []string{bottom, top} {
		require.NoError(t, os.CopyFS(image, os.DirFS(layer)))
	}
	require.NoError(t, Delete(image, deleted))
	require.NoError(t, Extract(image, &b))
	require.Equal(t, "new", read(t, filepath.Join(image, "d/both")))
	require.FileExists(t, filepath.Join(image, "d/sub/new"))
	require.NoFileExists(t, filepath.Join(image, "d/image-1"))
	require.NoFileExists(t, filepath.Join(image, "d/sub/deep"))
	require.FileExists(t, filepath.Join(image, "other/stays"))
}

func TestReferencesToLowerLayersAreRefused(t *testing.T) {
	t.Parallel()
	o := Overlay{Upper: t.TempDir()}
	dir := filepath.Join(o.Upper, "renamed")
	require.NoError(t, os.Mkdir(dir, 0o755))
	if err := unix.Setxattr(dir, "user.overlay.redirect", []byte("/old"), 0); errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system of TMPDIR has no user attributes: set TMPDIR to a directory on ext4, xfs or btrfs")
	}
	_, err := o.Diff(io.Discard)
	require.ErrorContains(t, err, "renamed")
	require.ErrorContains(t, err, "redirect")
}

func TestRootOverlayIsReadFromMountinfo(t *testing.T) {
	t.Parallel()
	o, err := RootOverlay(strings.NewReader(
		"1 0 0:1 / / rw - rootfs rootfs rw\n" +
			`2 1 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/snap/2/fs:/snap/1/fs,upperdir=/snap\0403/fs,workdir=/snap/3/work,index=off` + "\n" +
			"3 2 0:51 / /proc rw - proc proc rw\n"))
	require.NoError(t, err)
	require.Equal(t, Overlay{Upper: "/snap 3/fs", Lowers: []string{"/snap/2/fs", "/snap/1/fs"}}, o)

	_, err = RootOverlay(strings.NewReader("2 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"))
	require.ErrorContains(t, err, "ext4")
	_, err = RootOverlay(strings.NewReader("3 2 0:51 / /proc rw - proc proc rw\n"))
	require.ErrorContains(t, err, "no root")
}
