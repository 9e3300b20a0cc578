// Package imagetest is for tests of what is in images and their layers.
package imagetest

import (
	"archive/tar"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Files are the contents of a tar archive by path, links as `-> target`. Each path must be there once.
func Files(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	files := map[string]string{}
	for in := tar.NewReader(archive); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		require.NotContains(t, files, header.Name, "each path is there once")
		content, err := io.ReadAll(in)
		require.NoError(t, err)
		files[header.Name] = string(content)
		if header.Typeflag == tar.TypeSymlink {
			files[header.Name] = "-> " + header.Linkname
		}
	}
}
