package tunables

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/docker/dockertest"
)

// kernel is a directory like /proc/sys.
func kernel(t *testing.T, values map[string]string) string {
	dir := t.TempDir()
	for name, value := range values {
		path := filepath.Join(dir, strings.ReplaceAll(name, ".", "/"))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(value+"\n"), 0o644))
	}
	return dir
}

func laptop(t *testing.T) string {
	return kernel(t, map[string]string{"kernel.osrelease": "6.1", "kernel.panic": "0", "kernel.panic_on_oops": "0", "vm.overcommit_memory": "2", "vm.panic_on_oom": "0"})
}

const ofLaptop = "kernel.panic=0 kernel.panic_on_oops=0 vm.overcommit_memory=2"

func node(name, label string) dockertest.Container {
	return dockertest.Container{Name: name, Image: "node:1", State: "running", Labels: map[string]string{Label: label}}
}

func TestWhatAKubeletWillChangeIsWrittenDown(t *testing.T) {
	t.Parallel()
	before, err := Before(t.Context(), &dockertest.Engine{Host: "unix:///docker.sock", Kernel: "6.1"}, laptop(t))
	require.NoError(t, err)
	require.Equal(t, ofLaptop, before)
}

func TestWhatTheFirstNodeHasIsTakenOver(t *testing.T) {
	t.Parallel()
	e := &dockertest.Engine{Host: "unix:///docker.sock", Kernel: "6.1", Containers: []dockertest.Container{node("k3d-a-server-0", ofLaptop)}}
	// One of them was changed by hand since.
	now := kernel(t, map[string]string{"kernel.osrelease": "6.1", "kernel.panic": "10", "kernel.panic_on_oops": "1", "vm.overcommit_memory": "0"})
	before, err := Before(t.Context(), e, now)
	require.NoError(t, err)
	require.Equal(t, "kernel.panic=0 kernel.panic_on_oops=0 vm.overcommit_memory=0", before)
}

func TestAnotherMachinesKernelIsNotTakenForThisOne(t *testing.T) {
	t.Parallel()
	for _, e := range []*dockertest.Engine{{Host: "tcp://there:2376", Kernel: "6.1"}, {Host: "unix:///docker.sock", Kernel: "6.1-linuxkit"}} {
		before, err := Before(t.Context(), e, laptop(t))
		require.NoError(t, err)
		require.Empty(t, before)
	}
}

func TestOnlyTheLastNodeSetsBack(t *testing.T) {
	t.Parallel()
	one, other := &dockertest.Engine{}, &dockertest.Engine{}
	one.Containers = []dockertest.Container{node("a", ofLaptop), node("b", ofLaptop)}
	other.Containers = []dockertest.Container{node("c", "kernel.panic=0")}
	engines := []*dockertest.Engine{one, other}
	for _, stays := range []string{"a", "c"} {
		_, err := SetBack(t.Context(), engines, func(o docker.Object) bool { return o.Name != stays })
		require.NoError(t, err)
		require.Empty(t, one.Ran)
		require.Empty(t, other.Ran)
	}
	_, err := SetBack(t.Context(), engines, func(docker.Object) bool { return true })
	require.NoError(t, err)
	require.Empty(t, one.Ran)
	require.Len(t, other.Ran, 1)
	require.Equal(t, "kernel.panic 10 0 kernel.panic_on_oops 1 0 vm.overcommit_memory 1 2", strings.Join(other.Ran[0][4:], " "))
	require.Len(t, other.Containers, 1, "the container that did it is gone")

	other.Exit = 1
	_, err = SetBack(t.Context(), engines, func(docker.Object) bool { return true })
	require.ErrorContains(t, err, "exit status 1")
	require.ErrorContains(t, err, "`sysctl -w kernel.panic=0 kernel.panic_on_oops=0 vm.overcommit_memory=2`")
	require.Len(t, other.Containers, 1)
}

func TestTheScriptLeavesWhatSomebodyHasChangedSince(t *testing.T) {
	t.Parallel()
	dir := kernel(t, map[string]string{"kernel.panic": "10", "kernel.panic_on_oops": "0", "vm.overcommit_memory": "2"})
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", strings.ReplaceAll(script, ProcSys, dir), "sh",
		"kernel.panic", "10", "0", "vm.overcommit_memory", "1", "0").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "kernel.panic from 10 to 0\n", string(out))
	for name, want := range map[string]string{"kernel/panic": "0\n", "vm/overcommit_memory": "2\n"} {
		value, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(value))
	}
}
