package node

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

func TestVersionsOfTheBaseAreChecked(t *testing.T) {
	t.Parallel()
	criu, runc, containerd := required[0], required[1], sourceRequired[0]
	for name, test := range map[string]struct {
		requirement requirement
		version     string
		want, fails string
	}{
		"new enough":         {criu, "4.2.1-1", "4.2.1", ""},
		"just enough":        {criu, "4.2-1", "4.2", ""},
		"with an epoch":      {criu, "1:4.2-1", "4.2", ""},
		"Debian 13's":        {criu, "4.1.1-1", "", "4.2 or newer is needed"},
		"Debian 12's":        {criu, "3.17.1-2", "", "4.2 or newer is needed"},
		"tenth minor":        {criu, "4.10-1", "4.10", ""},
		"runc":               {runc, "1.3.6+ds1-1", "1.3.6", ""},
		"Debian 13's runc":   {runc, "1.1.15+ds1-2", "", "--manage-cgroups-mode"},
		"containerd":         {containerd, "2.1.9+ds1-5", "2.1.9", ""},
		"containerd to come": {containerd, "3.0.1-1", "", "major version 2 is needed"},
		"no version":         {runc, "unknown", "", "find the version of runc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			version, err := test.requirement.check(test.version)
			if test.fails != "" {
				require.ErrorContains(t, err, test.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, version)
		})
	}
}

func TestAProgramIsLookedForInItsPackage(t *testing.T) {
	t.Parallel()
	versions, err := checkVersions([]debian.Package{{Name: "etcd-server", Version: "3.5.30-2"}}, sourceRequired[2:])
	require.NoError(t, err)
	require.Equal(t, map[string]string{"etcd": "3.5.30"}, versions)
	_, err = checkVersions(nil, sourceRequired[2:])
	require.ErrorContains(t, err, "package etcd-server is not among those")
}
