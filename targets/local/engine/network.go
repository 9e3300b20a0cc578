package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
)

// instance names what a private engine has in the kernel: bridge (at most 15 bytes), cgroup parent, firewall chains.
func instance(runDir string) string {
	if runDir == DefaultRunDir {
		return "cedana-e2e"
	}
	sum := sha256.Sum256([]byte(runDir))
	return "ce2e-" + hex.EncodeToString(sum[:4])
}

// pools are the address ranges that a private engine may use, in order of preference: outside what Docker (172.17 to
// 172.31, 192.168), k3s (10.42, 10.43), kubeadm (10.96, 10.244) and clouds (10.0, 10.128) commonly use, as far as there
// is such a thing; the last ones for networks that claim all of 10.0.0.0/8.
var pools = []netip.Prefix{
	netip.MustParsePrefix("10.213.0.0/16"),
	netip.MustParsePrefix("10.187.0.0/16"),
	netip.MustParsePrefix("10.149.0.0/16"),
	netip.MustParsePrefix("172.30.0.0/16"),
	netip.MustParsePrefix("192.168.224.0/19"),
	netip.MustParsePrefix("198.18.64.0/18"),
}

// freePool returns the first candidate that touches nothing occupied.
func freePool(candidates, occupied []netip.Prefix) (netip.Prefix, error) {
next:
	for _, pool := range candidates {
		for _, taken := range occupied {
			if pool.Overlaps(taken) {
				continue next
			}
		}
		return pool, nil
	}
	return netip.Prefix{}, fmt.Errorf("choose addresses for the private engine: all of %v are in use; see `ip route show table all`", pools)
}

// split returns the bridge's address with its network, the first /24 of the pool, and the half from which the
// engine's other networks are taken.
func split(pool netip.Prefix) (bridge, networks netip.Prefix) {
	first := pool.Masked().Addr()
	half := first.As4()
	half[pool.Bits()/8] |= 0x80 >> (pool.Bits() % 8)
	return netip.PrefixFrom(first.Next(), 24), netip.PrefixFrom(netip.AddrFrom4(half), pool.Bits()+1)
}
