package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
)

// choosePool returns a pool that no route, interface or name server of this host touches, if possible the one that the
// networks in the engine's data are from. The engine's own interfaces must be gone.
func choosePool(o Options) (netip.Prefix, error) {
	occupied, err := occupiedAddresses()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("choose addresses for the private engine: %w", err)
	}
	return freePool(append(recallPools(o), pools...), occupied)
}

// rememberPool writes the pool down with the data, before all that were used with it before: RunDir's state is lost
// with the next boot, or by a hand that tidies up.
func rememberPool(o Options, pool netip.Prefix) error {
	text := pool.String() + "\n"
	for _, used := range recallPools(o) {
		if used != pool {
			text += used.String() + "\n"
		}
	}
	if err := atomicfile.Write(o.dir("pools"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("remember the engine's addresses: %w", err)
	}
	return nil
}

// recallPools returns the pools that the data was used with, the last one first.
func recallPools(o Options) []netip.Prefix {
	data, err := os.ReadFile(o.dir("pools"))
	if err != nil {
		return nil
	}
	var used []netip.Prefix
	for _, field := range strings.Fields(string(data)) {
		if pool, err := netip.ParsePrefix(field); err == nil && slices.Contains(pools, pool) {
			used = append(used, pool)
		}
	}
	return used
}

func occupiedAddresses() ([]netip.Prefix, error) {
	// Table "unspec" as a filter means every table: VPNs have their own.
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var occupied []netip.Prefix
	for _, route := range routes {
		if prefix, ok := toPrefix(route.Dst); ok && prefix.Bits() > 1 { // shorter ones are default routes by halves
			occupied = append(occupied, prefix)
		}
	}
	addresses, err := netlink.AddrList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, address := range addresses {
		if prefix, ok := toPrefix(address.IPNet); ok {
			occupied = append(occupied, prefix)
		}
	}
	// A name server behind the default route has no route of its own.
	f, err := os.Open("/etc/resolv.conf")
	if errors.Is(err, os.ErrNotExist) {
		return occupied, nil
	} else if err != nil {
		return nil, fmt.Errorf("read name servers: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == "nameserver" {
			if addr, err := netip.ParseAddr(fields[1]); err == nil && addr.Is4() {
				occupied = append(occupied, netip.PrefixFrom(addr, 32))
			}
		}
	}
	return occupied, lines.Err()
}

func toPrefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones).Masked(), ok
}

// ensureBridge makes the bridge of the engine's default network: dockerd makes none but docker0.
func ensureBridge(name string, pool netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("make bridge %s: %w", name, err)
		}
		link, err = netlink.LinkByName(name)
	}
	if err != nil {
		return fmt.Errorf("make bridge %s: %w", name, err)
	}
	address, _ := split(pool)
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{
		IP: address.Addr().AsSlice(), Mask: net.CIDRMask(address.Bits(), 32)}}); err != nil {
		return fmt.Errorf("give bridge %s the address %s: %w", name, address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set bridge %s up: %w", name, err)
	}
	return nil
}

// removeBridges removes the engine's bridge and those of its other networks, and returns how many there were. Only names
// are proof: the engine's own bridge has the instance's, and dockerd keeps the name of each other one, which holds a
// random id, in its data. An address is none: a bridge of libvirt, LXD or another Docker engine may have been given one
// of a pool that was free when this engine chose it. A bridge with such an address is named by foreign and left.
func removeBridges(name string, homes []string, pools []netip.Prefix) (removed int, foreign []string, err error) {
	records, err := networkRecords(homes)
	if err != nil {
		return 0, nil, err
	}
	links, err := netlink.LinkList()
	if err != nil {
		return 0, nil, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, link := range links {
		if link.Type() != "bridge" {
			continue
		}
		bridge := link.Attrs().Name
		if bridge != name && !hasBridge(records, bridge) {
			addresses, err := netlink.AddrList(link, unix.AF_INET)
			if err != nil {
				return removed, foreign, fmt.Errorf("list addresses of %s: %w", bridge, err)
			}
			if slices.ContainsFunc(addresses, func(a netlink.Addr) bool {
				prefix, ok := toPrefix(a.IPNet)
				return ok && slices.ContainsFunc(pools, prefix.Overlaps)
			}) {
				foreign = append(foreign, bridge)
			}
			continue
		}
		var missing netlink.LinkNotFoundError
		if err := netlink.LinkDel(link); err != nil && !errors.As(err, &missing) && !errors.Is(err, unix.ENODEV) {
			return removed, foreign, fmt.Errorf("remove bridge %s: %w", bridge, err)
		}
		removed++
	}
	return removed, foreign, nil
}

// networkRecords reads what dockerd wrote down of its networks (libnetwork's store) in the engine's data below the homes.
func networkRecords(homes []string) ([]byte, error) {
	var records []byte
	for _, home := range homes {
		data, err := os.ReadFile(filepath.Join(home, "engine", "data", "network", "files", "local-kv.db"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read the engine's networks: %w", err)
		}
		records = append(records, data...)
	}
	return records, nil
}

// hasBridge says whether libnetwork's records have a network with that bridge. The values in them are JSON.
func hasBridge(records []byte, bridge string) bool {
	return slices.Contains(recordedBridges(records), bridge)
}

// bridgeRecord has the name of a network's bridge, with dockerd's random id or [docker.BridgeName]'s.
var bridgeRecord = regexp.MustCompile(`"BridgeName":"((?:br-|` + docker.BridgePrefix + `)[^"]+)"`)

func recordedBridges(records []byte) (names []string) {
	for _, match := range bridgeRecord.FindAllSubmatch(records, -1) {
		names = append(names, string(match[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

type rule struct {
	table, chain string
	spec         []string
}

// engineBridges are the interfaces of the engine's networks: its own bridge, those that runs will make (iptables takes the
// plus sign for anything), and others that are written down.
func engineBridges(o Options) ([]string, error) {
	records, err := networkRecords([]string{o.Home})
	names := []string{instance(o.RunDir), docker.BridgePrefix + "+"}
	for _, bridge := range recordedBridges(records) {
		if !strings.HasPrefix(bridge, docker.BridgePrefix) {
			names = append(names, bridge)
		}
	}
	return names, err
}

// rules let containers on the bridges, and pods in them, reach each other whatever the policy of FORWARD is (a Docker engine
// with iptables on sets it to DROP), reach the world under the host's address, and get answers. Packets within one bridge
// come by here where bridges are filtered (net.bridge.bridge-nf-call-iptables). The rules are in chains of their own, so
// that they are found without knowing pool and bridges. POSTROUTING does not know where a packet came in, so that address
// translation goes by the pool alone.
func rules(name string, pool netip.Prefix, bridges []string) []rule {
	chain := chainName(name)
	all := []rule{
		{"filter", "FORWARD", []string{"-j", chain}},
		{"nat", chain, []string{"-s", pool.String(), "!", "-d", pool.String(), "-j", "MASQUERADE"}},
		{"nat", "POSTROUTING", []string{"-j", chain}},
	}
	for _, bridge := range bridges {
		all = append(all,
			rule{"filter", chain, []string{"-i", bridge, "-o", bridge, "-j", "ACCEPT"}},
			rule{"filter", chain, []string{"-s", pool.String(), "-i", bridge, "-j", "ACCEPT"}},
			rule{"filter", chain, []string{"-d", pool.String(), "-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"}},
		)
	}
	return all
}

func chainName(name string) string { return strings.ToUpper(name) }

// ensureRules adds what is missing, after all that is there: what an administrator (in DOCKER-USER, say), another engine or a
// node's network policies have decided comes first.
func ensureRules(ctx context.Context, name string, pool netip.Prefix, bridges []string) error {
	for _, r := range rules(name, pool, bridges) {
		if _, err := iptables(ctx, append([]string{"-t", r.table, "-C", r.chain}, r.spec...)...); err == nil {
			continue
		}
		if own := chainName(name); !hasChain(ctx, r.table, own) {
			if _, err := iptables(ctx, "-t", r.table, "-N", own); err != nil {
				return fmt.Errorf("add firewall chain %s: %w", own, err)
			}
		}
		if _, err := iptables(ctx, append([]string{"-t", r.table, "-A", r.chain}, r.spec...)...); err != nil {
			return fmt.Errorf("add firewall rule to %s: %w", r.chain, err)
		}
	}
	return nil
}

// admit has the firewall let through what comes from the engine's networks and goes there.
func admit(ctx context.Context, o Options, pool netip.Prefix) error {
	bridges, err := engineBridges(o)
	if err != nil {
		return err
	}
	return ensureRules(ctx, instance(o.RunDir), pool, bridges)
}

func removeRules(ctx context.Context, name string) (removed bool, err error) {
	if _, err := lookProgram("iptables"); err != nil {
		return false, nil // then it cannot have been there when the engine was started
	}
	chain := chainName(name)
	for table, parent := range map[string]string{"filter": "FORWARD", "nat": "POSTROUTING"} {
		if !hasChain(ctx, table, chain) {
			continue
		}
		for {
			if _, err := iptables(ctx, "-t", table, "-C", parent, "-j", chain); err != nil {
				break
			}
			if _, err := iptables(ctx, "-t", table, "-D", parent, "-j", chain); err != nil {
				return removed, fmt.Errorf("remove firewall rule: %w", err)
			}
		}
		for _, do := range []string{"-F", "-X"} {
			if _, err := iptables(ctx, "-t", table, do, chain); err != nil {
				return removed, fmt.Errorf("remove firewall chain %s: %w", chain, err)
			}
		}
		removed = true
	}
	return removed, nil
}

func hasChain(ctx context.Context, table, chain string) bool {
	_, err := iptables(ctx, "-t", table, "-S", chain)
	return err == nil
}

func iptables(ctx context.Context, args ...string) (string, error) {
	program, err := lookProgram("iptables")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, program, append([]string{"-w", "10"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, lastLines(out, 3))
	}
	return string(out), nil
}
