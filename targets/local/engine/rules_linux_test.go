package engine

import (
	"net/netip"
	"regexp"
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
	makeBridge(t, "br-0123456789ab", "172.18.0.1/16") // another Docker engine's, with a Kubernetes node's pods on it
	home := t.TempDir()
	recordNetwork(t, home, "br-8b74c1ae87d5")
	for _, rule := range []string{
		"-P FORWARD DROP", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -s 10.213.0.0/16 -j DROP",
		"-N KUBE-ROUTER-FORWARD", "-A FORWARD -j KUBE-ROUTER-FORWARD", "-A KUBE-ROUTER-FORWARD -s 10.42.0.0/16 -j REJECT",
		"-A FORWARD -o docker0 -j ACCEPT", "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
	} {
		run(strings.Fields(rule)...)
	}
	for _, rule := range []string{
		"-N DOCKER", "-A DOCKER -d 172.18.0.2/32 ! -i br-0123456789ab -o br-0123456789ab -p tcp -m tcp --dport 80 -j ACCEPT",
		"-A FORWARD -o br-0123456789ab -j DOCKER", "-A FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT",
	} {
		run(strings.Fields(rule)...)
	}
	before := all()
	ours, err := engineBridges(Options{Home: home, RunDir: "/run/test"})
	require.NoError(t, err)
	own := instance("/run/test")
	require.Equal(t, []string{own, "ce2n-+", "br-8b74c1ae87d5"}, ours)
	pool := netip.MustParsePrefix("10.213.0.0/16")
	for range 2 {
		require.NoError(t, ensureRules(t.Context(), "ce2e-test", pool, ours))
		for _, chain := range [][]string{{"filter", "FORWARD"}, {"nat", "POSTROUTING"}} {
			rules := strings.Split(strings.TrimSpace(run("-t", chain[0], "-S", chain[1])), "\n")
			assert.Equal(t, len(rules)-1, slices.Index(rules, "-A "+chain[1]+" -j CE2E-TEST"), "%s: %v", chain, rules)
		}
	}
	for rule := range strings.Lines(run("-S", "CE2E-TEST")) {
		interfaces := regexp.MustCompile(`-[io] (\S+)`).FindAllStringSubmatch(rule, -1)
		assert.True(t, len(interfaces) > 0 || strings.HasPrefix(rule, "-N "), "for any interface: %s", rule)
		for _, i := range interfaces {
			assert.Contains(t, ours, i[1], rule)
		}
	}
	removed, err := removeRules(t.Context(), "ce2e-test")
	require.NoError(t, err)
	assert.True(t, removed)
	assert.Equal(t, before, all())
	assert.ElementsMatch(t, []string{"docker0", "br-0123456789ab"}, bridges(t))
}
