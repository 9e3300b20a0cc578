package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
)

const mountsOfV1 = `705 704 0:50 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
716 705 0:29 /docker/b1f9 /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu
717 705 0:33 /docker/b1f9 /sys/fs/cgroup/devices rw,nosuid master:11 - cgroup cgroup rw,devices
718 705 0:34 /docker/b1f9 /sys/fs/cgroup/systemd rw,nosuid master:12 - cgroup cgroup rw,name=systemd
722 705 0:32 /docker/b1f9 /sys/fs/cgroup/memory rw,nosuid master:14 - cgroup cgroup rw,memory`

func TestTheCgroupsToEnterAreThoseOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(mountsOfV1), hierarchies)
	require.NoError(t, err)
	require.Len(t, mounts, 2)
	require.Equal(t, "/sys/fs/cgroup/cpu", mounts[0].Mountpoint)
	require.Equal(t, "/sys/fs/cgroup/memory", mounts[1].Mountpoint)
	mounts, err = mountinfo.GetMountsFromReader(strings.NewReader("30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"), hierarchies)
	require.NoError(t, err)
	require.Empty(t, mounts)
}

func TestACgroupsPathOfSystemdIsLeftAlone(t *testing.T) {
	t.Parallel()
	dirs, err := groups(&specs.Spec{Linux: &specs.Linux{CgroupsPath: "kubepods-x.slice:cri-containerd:id"}})
	require.NoError(t, err)
	require.Empty(t, dirs)
}

func TestANewCpusetHasWhatItsParentHas(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "container")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, inherit(dir, "cpuset.cpus"), "another hierarchy has no such file")
	require.NoError(t, os.WriteFile(filepath.Join(parent, "cpuset.cpus"), []byte("0-1\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cpuset.cpus"), []byte("\n"), 0o644))
	require.NoError(t, inherit(dir, "cpuset.cpus"))
	content, err := os.ReadFile(filepath.Join(dir, "cpuset.cpus"))
	require.NoError(t, err)
	require.Equal(t, "0-1\n", string(content))
}
