package checks

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAHostNameIsLookedForAtThePodsAddress(t *testing.T) {
	t.Parallel()
	const hosts = "# made by kubelet\n127.0.0.1\tlocalhost\n10.42.0.7\tcounter-restored alias\n"
	require.NoError(t, NamedByHosts(hosts, "10.42.0.7", "counter-restored"))
	require.NoError(t, NamedByHosts(hosts, "10.42.0.7", "alias"))
	require.ErrorContains(t, NamedByHosts(hosts, "10.42.0.7", "counter"), "/etc/hosts has counter at the pod's address 10.42.0.7")
	require.Error(t, NamedByHosts(hosts, "10.42.0.8", "counter-restored"))
}
