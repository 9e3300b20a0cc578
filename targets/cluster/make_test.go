package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// On an emulated machine a kubelet was not heard of for 50 s, and a restored pod was not Ready for a moment.
func TestASlowMachinesNodesMayBeSilentForLonger(t *testing.T) { // not parallel: it changes the process's factor
	require.Empty(t, slowArguments())
	before := want(&settings.Cluster{}, Options{})
	stretch.Set(20)
	t.Cleanup(func() { stretch.Set(1) })
	require.Equal(t, []string{"--kube-controller-manager-arg=node-monitor-grace-period=16m40s"}, slowArguments())
	require.Equal(t, want(&settings.Cluster{}, Options{}), before, "a cluster that was made with another factor stays")
}
