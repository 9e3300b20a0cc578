package cluster

import (
	"testing"

	"github.com/docker/docker/api/types/system"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/report"
)

func TestAnEngineTellsOfItsMachine(t *testing.T) {
	t.Parallel()
	info := system.Info{
		OperatingSystem: "Debian GNU/Linux 13 (trixie)", ServerVersion: "29.1.0", Driver: "overlayfs",
		DriverStatus:    [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}},
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=apparmor", "name=cgroupns"},
	}
	require.Equal(t, []report.Fact{
		{Name: report.SystemFact, Value: "Debian GNU/Linux 13 (trixie)"}, {Name: report.EngineFact, Value: "Docker 29.1.0, overlayfs of containerd"},
		{Name: report.SecurityFact, Value: "apparmor, seccomp"}, {Name: report.UserFact, Value: "not root"},
	}, engineFacts(info, 1000))
	info.DriverStatus, info.Driver = nil, "overlay2"
	require.Contains(t, engineFacts(info, 0), report.Fact{Name: report.EngineFact, Value: "Docker 29.1.0, overlay2"})
	require.Contains(t, engineFacts(info, 0), report.Fact{Name: report.UserFact, Value: "root"})
}
