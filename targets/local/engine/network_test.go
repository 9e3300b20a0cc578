package engine

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPoolTouchesNothingThatIsInUse(t *testing.T) {
	t.Parallel()
	parse := func(texts ...string) (prefixes []netip.Prefix) {
		for _, text := range texts {
			prefixes = append(prefixes, netip.MustParsePrefix(text))
		}
		return prefixes
	}
	for name, c := range map[string]struct{ occupied, want string }{
		"a narrower network inside": {"10.213.7.0/24", "10.187.0.0/16"},
		"a wider network around":    {"10.0.0.0/8", "172.30.0.0/16"},
		"a name server":             {"10.213.0.2/32", "10.187.0.0/16"},
		"something else":            {"172.17.0.0/16", "10.213.0.0/16"},
	} {
		got, err := freePool(pools, parse(c.occupied))
		require.NoError(t, err, name)
		assert.Equal(t, c.want, got.String(), name)
	}
	_, err := freePool(pools, parse("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"))
	assert.ErrorContains(t, err, "in use")
}

func TestEveryPoolHasABridgeAndANetworkHalfThatDoNotMeet(t *testing.T) {
	t.Parallel()
	for _, pool := range pools {
		bridge, networks := split(pool)
		assert.True(t, pool.Contains(bridge.Addr()) && pool.Contains(networks.Addr()), "%s", pool)
		assert.Equal(t, networks.Masked(), networks)
		assert.Equal(t, pool.Bits()+1, networks.Bits())
		assert.False(t, bridge.Overlaps(networks), "%s: %s and %s", pool, bridge, networks)
	}
	bridge, networks := split(netip.MustParsePrefix("10.213.0.0/16"))
	assert.Equal(t, "10.213.0.1/24", bridge.String())
	assert.Equal(t, "10.213.128.0/17", networks.String())
}

func TestInstancesHaveNamesThatTheKernelTakes(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "cedana-e2e", instance(DefaultRunDir))
	assert.NotEqual(t, instance("/tmp/a"), instance("/tmp/b"))
	for _, dir := range []string{DefaultRunDir, "/tmp/a/very/long/path/indeed"} {
		assert.LessOrEqual(t, len(instance(dir)), 15)
	}
}
