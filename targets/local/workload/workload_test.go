package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/imagetest"
)

// someFiles is a directory as debianFiles makes it.
func someFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		nginxPath: "nginx", busyboxPath: "busybox", "usr/lib/x86_64-linux-gnu/libc.so.6": "libc", appletList: "sh\ncat\nbusybox\n",
	} {
		path := filepath.Join(dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
	}
	return dir
}

func read(t *testing.T, made image.Tarball) (files map[string]string, config v1.Config) {
	t.Helper()
	img, err := tarball.ImageFromPath(made.Path, nil)
	require.NoError(t, err)
	file, err := img.ConfigFile()
	require.NoError(t, err)
	flat := mutate.Extract(img)
	defer flat.Close()
	return imagetest.Files(t, flat), file.Config
}

func TestNginxImage(t *testing.T) {
	t.Parallel()
	files, store := someFiles(t), image.NewStore(t.TempDir(), nil)
	made, err := nginx(t.Context(), store, files, "www-data")
	require.NoError(t, err)
	content, config := read(t, made)
	require.Equal(t, "nginx", content["usr/sbin/nginx"])
	require.Equal(t, "libc", content["usr/lib/x86_64-linux-gnu/libc.so.6"])
	require.Equal(t, "-> busybox", content["usr/bin/sh"])
	require.Equal(t, "-> usr/bin", content["bin"])
	require.Equal(t, "-> usr/lib64", content["lib64"], "where the kernel looks for the loader")
	require.NotContains(t, content, appletList)
	conf := content["etc/nginx/nginx.conf"]
	for _, want := range []string{"user www-data;", "daemon off;", "worker_processes 1;", "listen 80;", "access_log /var/log/nginx/access.log;", "error_log stderr"} {
		require.Contains(t, conf, want)
	}
	require.Contains(t, content, "var/log/nginx", "nginx makes files, not directories")
	require.Contains(t, content["etc/passwd"], "www-data:")
	require.Equal(t, []string{"/usr/sbin/nginx", "-e", "stderr"}, config.Entrypoint)

	other, err := nginx(t.Context(), store, files, "root")
	require.NoError(t, err)
	require.NotEqual(t, made.Ref, other.Ref, "another worker is another image")
	content, _ = read(t, other)
	require.Contains(t, content["etc/nginx/nginx.conf"], "user root;")
}

func TestWorkerIsRootWhereCRIUCannotReadAnothersLimits(t *testing.T) {
	t.Parallel()
	require.Equal(t, "root", nginxUser(true))
	require.Equal(t, "www-data", nginxUser(false))
}

// This test's own files are the host's: the loader and the C library are somewhere below /usr/lib or /lib there.
func TestClosureHasWhatTheLoaderOpens(t *testing.T) {
	t.Parallel()
	libraries, loader, err := needs("/usr/bin/env")
	if err != nil || loader == "" {
		t.Skipf("no dynamic /usr/bin/env to look at on this host: %v", err)
	}
	require.NotEmpty(t, libraries)
	root := t.TempDir()
	install := func(source, file string) {
		path := filepath.Join(root, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		content, err := os.ReadFile(source)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, content, 0o755))
	}
	install("/usr/bin/env", "usr/bin/env")
	_, err = closure(root, "usr/bin/env")
	require.ErrorContains(t, err, loader, "the loader is missing")

	install(loader, "usr/lib/real-loader.so")
	require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, "usr", loader)), 0o755))
	require.NoError(t, os.Symlink("/usr/lib/real-loader.so", filepath.Join(root, "usr", loader)))
	_, err = closure(root, "usr/bin/env")
	require.ErrorContains(t, err, libraries[0], "a library is missing")
	require.ErrorContains(t, err, "not in any of the packages")

	for _, library := range libraries {
		install(loader, "usr/lib/x86_64-linux-gnu/"+library) // any ELF file that needs nothing more
	}
	files, err := closure(root, "usr/bin/env")
	require.NoError(t, err)
	want := []string{"usr/bin/env", "usr/lib/real-loader.so", strings.TrimPrefix("usr"+loader, "/")}
	for _, library := range libraries {
		want = append(want, "usr/lib/x86_64-linux-gnu/"+library)
	}
	require.ElementsMatch(t, want, files)
}
