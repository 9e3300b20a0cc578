// Package gobuildtest is for tests of what is built from other modules.
package gobuildtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// Publish makes a module that can be required by those who have the environment, without a network. It has the files,
// by their paths in it, and a go.mod.
func Publish(t *testing.T, path, version string, files map[string]string) (env []string) {
	t.Helper()
	source, proxy := t.TempDir(), t.TempDir()
	goMod := fmt.Sprintf("module %s\n\ngo 1.26\n", path)
	Write(t, source, files)
	Write(t, source, map[string]string{"go.mod": goMod})
	Write(t, proxy, map[string]string{
		path + "/@v/list":                 version + "\n",
		path + "/@v/" + version + ".mod":  goMod,
		path + "/@v/" + version + ".info": fmt.Sprintf("{%q: %q}", "Version", version),
	})
	archive, err := os.Create(filepath.Join(proxy, path, "@v", version+".zip"))
	require.NoError(t, err)
	require.NoError(t, zip.CreateFromDir(archive, module.Version{Path: path, Version: version}, source))
	require.NoError(t, archive.Close())
	return append(EmptyCache(t), "GOPROXY=file://"+proxy, "GOSUMDB=off")
}

// EmptyCache is the environment of a module cache that has nothing in it.
func EmptyCache(t *testing.T) (env []string) {
	t.Helper()
	return []string{"GOMODCACHE=" + t.TempDir(), "GOFLAGS=-modcacherw"} // else it could not be removed
}

// Write makes files by their paths in dir.
func Write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
}
