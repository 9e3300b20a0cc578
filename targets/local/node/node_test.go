package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/gobuild"
)

func TestVersionsOfTheBaseAreChecked(t *testing.T) {
	t.Parallel()
	criu, runc, containerd := required[0], required[1], sourceRequired[0]
	for name, test := range map[string]struct {
		requirement requirement
		output      string
		want, fails string
	}{
		"new enough":         {criu, "Version: 4.2.1\n", "4.2.1", ""},
		"just enough":        {criu, "Version: 4.2\n", "4.2", ""},
		"Debian 13's":        {criu, "Version: 4.1.1\n", "", "4.2 or newer is needed"},
		"Debian 12's":        {criu, "Version: 3.17.1\n", "", "4.2 or newer is needed"},
		"tenth minor":        {criu, "Version: 4.10\n", "4.10", ""},
		"runc":               {runc, "runc version 1.3.6+ds1\ncommit: 1.3.6+ds1-1\nspec: 1.2.1\n", "1.3.6", ""},
		"Debian 13's runc":   {runc, "runc version 1.1.15+ds1\nspec: 1.2.1\n", "", "--manage-cgroups-mode"},
		"containerd":         {containerd, "containerd github.com/containerd/containerd/v2 2.1.9+ds1 2.1.9+ds1-5\n", "2.1.9", ""},
		"containerd to come": {containerd, "containerd github.com/containerd/containerd/v3 3.0.1\n", "", "major version 2 is needed"},
		"no version":         {runc, "runc: command not found\n", "", "find the version of runc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			version, err := test.requirement.check(test.output)
			if test.fails != "" {
				require.ErrorContains(t, err, test.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, version)
		})
	}
}

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

func TestBaseLeavesOutWhatIsTheHostsOrOfNoUse(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"usr/share/doc", "var/lib/apt/lists/x", "usr/lib/cni/dhcp", "etc/resolv.conf", "etc/hostname", "dev/null", ".dockerenv",
		"usr/lib/x86_64-linux-gnu/gconv", "var/cache/apt", "etc/apt/apt.conf.d/99mmdebstrap", "usr/bin/containerd-stress",
	} {
		require.True(t, dropped(path), path)
	}
	for _, path := range []string{
		"usr/lib/cni", "usr/lib/cni/ptp", "usr/lib/cni/portmap", "var/lib/apt/lists", "dev", "proc", "tmp", "usr/bin/criu",
		"usr/share/zoneinfo", "etc/ssl/certs", "var/lib/dpkg/status", "usr/share",
	} {
		require.False(t, dropped(path), path)
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
