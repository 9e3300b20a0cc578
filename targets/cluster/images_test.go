package cluster

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheImagesOfANewAgentAreWhereItImportsThemFrom(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nginx.tar")
	require.NoError(t, os.WriteFile(path, []byte("layers"), 0o600))
	var archive bytes.Buffer
	require.NoError(t, packImages(&archive, []Image{{Ref: "nginx:1", Path: path}, {Ref: "nginx:2", Path: path}}))
	got := map[string]string{}
	for r := tar.NewReader(&archive); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		got[header.Name] = string(content)
	}
	const dir = "/var/lib/rancher/k3s/agent/images/cedana-e2e-laid-"
	require.Equal(t, map[string]string{dir + "0.tar": "layers", dir + "1.tar": "layers"}, got)
	require.ErrorContains(t, packImages(io.Discard, []Image{{Ref: "nginx:1", Path: path + "x"}}), "read image nginx:1")
}
