package engine

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inOwnNetwork runs the test in a network namespace that nobody else uses. Its thread ends with the test.
func inOwnNetwork(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("makes a network namespace: run as root")
	}
	runtime.LockOSThread() // never unlocked: Go ends the thread with the goroutine, and the namespace goes with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("make a network namespace: %v: run where CAP_SYS_ADMIN is to be had", err)
	}
}

func makeBridge(t *testing.T, name, address string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	require.NoError(t, netlink.LinkAdd(bridge))
	prefix := netip.MustParsePrefix(address)
	require.NoError(t, netlink.AddrAdd(bridge, &netlink.Addr{IPNet: &net.IPNet{
		IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), 32)}}))
}

func bridges(t *testing.T) (names []string) {
	t.Helper()
	links, err := netlink.LinkList()
	require.NoError(t, err)
	for _, link := range links {
		if link.Type() == "bridge" {
			names = append(names, link.Attrs().Name)
		}
	}
	return names
}

// recordNetwork writes down a network with that bridge as dockerd's store has it.
func recordNetwork(t *testing.T, home, bridge string) {
	t.Helper()
	file := filepath.Join(home, "engine", "data", "network", "files", "local-kv.db")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte("\x00docker/network/v1.0/bridge/8b74/\x01"+
		`{"AddressIPv4":"10.213.128.1/24","BridgeIfaceCreator":1,"BridgeName":"`+bridge+`","ID":"8b74"}`), 0o600))
}

func TestOnlyTheEnginesOwnBridgesAreRemoved(t *testing.T) {
	t.Parallel()
	inOwnNetwork(t)
	home := t.TempDir()
	recordNetwork(t, home, "br-8b74c1ae87d5")
	makeBridge(t, "ce2e-test", "10.213.0.1/24")
	makeBridge(t, "br-8b74c1ae87d5", "10.213.128.1/24")
	makeBridge(t, "virbr0", "10.213.5.1/24")            // libvirt's, in the pool
	makeBridge(t, "br-0123456789ab", "10.213.129.1/24") // another Docker engine's, in the pool
	makeBridge(t, "br0", "10.0.0.5/8")                  // the host's own, around the pool
	makeBridge(t, "lxdbr0", "192.168.7.1/24")

	removed, foreign, err := removeBridges("ce2e-test", []string{home}, []netip.Prefix{netip.MustParsePrefix("10.213.0.0/16")})
	require.NoError(t, err)
	assert.Equal(t, 2, removed)
	assert.ElementsMatch(t, []string{"virbr0", "br-0123456789ab", "br0", "lxdbr0"}, bridges(t))
	assert.ElementsMatch(t, []string{"virbr0", "br-0123456789ab", "br0"}, foreign, "what looks like ours and is not is named")
}

func TestBridgesWhoseDataIsGoneAreLeft(t *testing.T) {
	t.Parallel()
	inOwnNetwork(t)
	makeBridge(t, "br-8b74c1ae87d5", "10.213.128.1/24")
	removed, foreign, err := removeBridges("ce2e-test", []string{t.TempDir()}, []netip.Prefix{netip.MustParsePrefix("10.213.0.0/16")})
	require.NoError(t, err)
	assert.Zero(t, removed)
	assert.Equal(t, []string{"br-8b74c1ae87d5"}, foreign)
}
