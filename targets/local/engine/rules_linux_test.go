package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The host's firewall is others', too: an administrator's, another Docker engine's, a Kubernetes node's.
func TestRulesComeAfterAllOthersAndGoWithTheEngine(t *testing.T) {
	t.Parallel()
	inOwnNetwork(t)
	if _, err := lookProgram("iptables"); err != nil {
		t.Skipf("changes a firewall: %v", err)
	}
	run := func(args ...string) string {
		out, err := iptables(t.Context(), args...)
		require.NoError(t, err)
		return out
	}
	all := func() string { return run("-t", "filter", "-S") + run("-t", "nat", "-S") }
	makeBridge(t, "docker0", "172.17.0.1/16")
	for _, rule := range []string{
		"-P FORWARD DROP", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -s 10.213.0.0/16 -j DROP",
		"-N KUBE-ROUTER-FORWARD", "-A FORWARD -j KUBE-ROUTER-FORWARD", "-A KUBE-ROUTER-FORWARD -s 10.42.0.0/16 -j REJECT",
		"-A FORWARD -o docker0 -j ACCEPT", "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
	} {
		run(strings.Fields(rule)...)
	}
	before := all()
	pool := netip.MustParsePrefix("10.213.0.0/16")
	for range 2 {
		require.NoError(t, ensureRules(t.Context(), "ce2e-test", pool))
		for _, chain := range [][]string{{"filter", "FORWARD"}, {"nat", "POSTROUTING"}} {
			rules := strings.Split(strings.TrimSpace(run("-t", chain[0], "-S", chain[1])), "\n")
			assert.Equal(t, len(rules)-1, slices.Index(rules, "-A "+chain[1]+" -j CE2E-TEST"), "%s: %v", chain, rules)
		}
	}
	removed, err := removeRules(t.Context(), "ce2e-test")
	require.NoError(t, err)
	assert.True(t, removed)
	assert.Equal(t, before, all())
	assert.Equal(t, []string{"docker0"}, bridges(t))
}
