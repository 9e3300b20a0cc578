package cluster

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func archive(t *testing.T, files map[string]string) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, content := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}))
		_, err := w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "log/pods/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}))
	require.NoError(t, w.Close())
	return &buf
}

func TestOnlyLogFilesAreTakenFromANodeAndNoneLeadsOutOfTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, unpackLogs(archive(t, map[string]string{
		"log/k3s/kubelet.log":         "k",
		"log/pods/ns_p_u/c/0.log":     "p",
		"log/btmp":                    "x",
		"log/pods/../../../../escape": "x",
	}), "/var", filepath.Join(dir, "node")))
	var found []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			found = append(found, rel)
		}
		return err
	}))
	assert.Equal(t, []string{"node/var/log/k3s/kubelet.log", "node/var/log/pods/ns_p_u/c/0.log"}, found)
}

func TestALongLogIsCut(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a", "b.log")
	require.NoError(t, writeLog(file, bytes.NewReader(make([]byte, maxLogFile+10))))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.InDelta(t, maxLogFile, info.Size(), 100)
}
