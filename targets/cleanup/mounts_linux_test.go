package cleanup

import (
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMountPointsBelowADirectory(t *testing.T) {
	t.Parallel()
	const table = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:5 / /home/e2e/build/rootfs/proc rw - proc proc rw
31 22 0:6 / /home/e2e/build/root\040fs/dev rw - devtmpfs udev rw
32 22 0:7 / /home/e2e/build rw - tmpfs tmpfs rw
33 22 0:8 / /home/e2e/builder/proc rw - proc proc rw
`
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(table), below("/home/e2e/build"))
	require.NoError(t, err)
	var points []string
	for _, m := range mounts {
		points = append(points, m.Mountpoint)
	}
	assert.Equal(t, []string{"/home/e2e/build/rootfs/proc", "/home/e2e/build/root fs/dev"}, points)
}
