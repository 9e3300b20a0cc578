package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDropInsOfContainerdAreImportedOnce runs the entry point's script, which is meant for a node, on a node's files in a
// directory: containerd refuses a key that is there twice.
func TestDropInsOfContainerdAreImportedOnce(t *testing.T) {
	t.Parallel()
	const node, line = "/var/lib/rancher/k3s/agent/etc/containerd", "imports = ["
	for name, c := range map[string]struct {
		k3s  string
		want int
	}{
		"k3s that has no such directory": {"\x7fELF config-v3.toml.tmpl\x00", 1},
		"k3s that imports it itself":     {"\x7fELF imports = [\"{{ .X }}/config-v3.toml.d/*.toml\"]\x00", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script, err := os.ReadFile("k3s/bin/k3d-entrypoint-cedana-containerd.sh")
			require.NoError(t, err)
			template, err := os.ReadFile("k3s" + node + "/config-v3.toml.tmpl")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "k3s"), []byte(c.k3s), 0o755))
			file := filepath.Join(dir, "config-v3.toml.tmpl")
			require.NoError(t, os.WriteFile(file, template, 0o644))
			for range 2 { // a node is started again
				cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(string(script), node, dir))
				cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, string(out))
			}
			got, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, c.want, strings.Count(string(got), line))
			assert.True(t, strings.HasSuffix(string(got), string(template)), "the rest of the template stays")
			if c.want == 1 {
				assert.True(t, strings.HasPrefix(string(got), line+`"`+dir+`/config-v3.toml.d/*.toml"]`+"\n"), "before any table")
			}
		})
	}
}
