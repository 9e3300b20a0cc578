package cluster

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	k3d "github.com/k3d-io/k3d/v5/pkg/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFilesForANodeAreKeptInOneArchiveUntilItsStart(t *testing.T) {
	t.Parallel()
	d := &driver{files: make(map[string]*bytes.Buffer)}
	node := &k3d.Node{Name: "n"}
	require.NoError(t, d.WriteToNode(t.Context(), []byte("one"), "/bin/1", 0o744, node))
	require.NoError(t, d.WriteToNode(t.Context(), []byte("two"), "/bin/2", 0o644, node))
	require.NoError(t, d.WriteToNode(t.Context(), []byte("else"), "/bin/1", 0o644, &k3d.Node{Name: "m"}))
	r := tar.NewReader(d.files["n"])
	got := map[string]string{}
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		got[header.Name] = string(data)
	}
	assert.Equal(t, map[string]string{"/bin/1": "one", "/bin/2": "two"}, got)
}

func TestSetenvIsUndone(t *testing.T) {
	t.Setenv("CLUSTER_TEST_A", "before")
	t.Setenv("CLUSTER_TEST_B", "before")
	require.NoError(t, os.Unsetenv("CLUSTER_TEST_C"))
	restore, err := setenv(map[string]string{"CLUSTER_TEST_A": "during", "CLUSTER_TEST_B": "", "CLUSTER_TEST_C": "during"})
	require.NoError(t, err)
	assert.Equal(t, "during", os.Getenv("CLUSTER_TEST_A"))
	_, set := os.LookupEnv("CLUSTER_TEST_B")
	assert.False(t, set)
	restore()
	assert.Equal(t, "before", os.Getenv("CLUSTER_TEST_A"))
	assert.Equal(t, "before", os.Getenv("CLUSTER_TEST_B"))
	_, set = os.LookupEnv("CLUSTER_TEST_C")
	assert.False(t, set)
}
