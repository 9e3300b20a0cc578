package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
)

func TestLayersKeepOffDebiansLinks(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"bin/k3s": "usr/bin/k3s", "/sbin/x": "usr/sbin/x", "lib/modules": "usr/lib/modules", "lib64/ld.so": "usr/lib64/ld.so",
		"var/run/x": "run/x", "var/lock/x": "run/lock/x", "var/runner": "var/runner", "usr/bin/x": "usr/bin/x",
		"etc/bin/x": "etc/bin/x", "bin": "usr/bin", "binary": "binary",
	} {
		require.Equal(t, want, merged(file), file)
	}
}

// k3s is pinned to the Kubernetes minor version that is compiled, or the two flavours would not be the same to a test.
func TestBothFlavoursHaveOneKubernetes(t *testing.T) {
	t.Parallel()
	root, err := gobuild.Root()
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(root, kubernetesModule, "go.mod"))
	require.NoError(t, err)
	version, err := requiredVersion(root, kubernetesModule, "k8s.io/kubernetes")
	require.NoError(t, err)
	require.Contains(t, string(content), "k8s.io/kubernetes "+version)
	minor := func(v string) string { return v[:len("v1.34")] }
	require.Equal(t, minor(version), minor(k3sVersion(DefaultK3sImage)))
}

// A module that both main modules have is compiled once where both have one version of it, and Kubernetes' own are of one release.
func TestBothModulesHaveOneVersionOfWhatTheyShare(t *testing.T) {
	t.Parallel()
	root, err := gobuild.Root()
	require.NoError(t, err)
	versions := func(dir string) map[string]string {
		name := filepath.Join(root, dir, "go.mod")
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		file, err := modfile.Parse(name, content, nil)
		require.NoError(t, err)
		found := map[string]string{}
		for _, r := range file.Require {
			found[r.Mod.Path] = r.Mod.Version
		}
		for _, r := range file.Replace {
			require.Equal(t, r.Old.Path, r.New.Path, "%s says one module and compiles another", name)
			found[r.Old.Path] = r.New.Version
		}
		return found
	}
	ours, nodes := versions("."), versions(kubernetesModule)
	shared := 0
	for path, version := range ours {
		if of, ok := nodes[path]; ok {
			require.Equal(t, version, of, path)
			shared++
		}
	}
	require.Greater(t, shared, 50, "of the modules")
	kubernetes := strings.TrimPrefix(nodes["k8s.io/kubernetes"], "v1.")
	for _, path := range []string{"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go"} {
		require.Equal(t, "v0."+kubernetes, ours[path], path)
	}
}

// Without being told, every client would see v0.0.0-master.
func TestKubernetesIsToldTheVersionThatGoModAsksFor(t *testing.T) {
	t.Parallel()
	root, err := gobuild.Root()
	require.NoError(t, err)
	program, err := kubernetesProgram(root)
	require.NoError(t, err)
	version, err := requiredVersion(root, kubernetesModule, "k8s.io/kubernetes")
	require.NoError(t, err)
	require.Contains(t, strings.Join(program.Flags, " "), "k8s.io/component-base/version.gitVersion="+version+"+source ")
}
