package supervisor

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// host is what the supervisor found out about the machine it runs on.
type host struct {
	// adjustOOM says whether processes may be made less likely to be killed than their parents (CAP_SYS_RESOURCE).
	adjustOOM bool
	// resolvConf is the file that pods outside the cluster's DNS get.
	resolvConf string
}

func inspectHost() (host, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return host{}, fmt.Errorf("read capabilities: %w", err)
	}
	h := host{}
	if h.adjustOOM, err = hasCapability(string(status), unix.CAP_SYS_RESOURCE); err != nil {
		return host{}, err
	}
	h.resolvConf, err = podResolvConf("/etc/resolv.conf", agentDir+"/etc/resolv.conf")
	return h, err
}

// hasCapability reads the effective capabilities of /proc/PID/status.
func hasCapability(status string, capability int) (bool, error) {
	for line := range strings.Lines(status) {
		if mask, ok := strings.CutPrefix(line, "CapEff:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if err != nil {
				return false, fmt.Errorf("read capabilities: parse %q: %w", line, err)
			}
			return bits&(1<<capability) != 0, nil
		}
	}
	return false, fmt.Errorf("read capabilities: no line CapEff in /proc/self/status")
}

// podResolvConf returns system if a pod can use it. Docker's own DNS server listens on the loopback of the node, where no pod reaches
// it, and CoreDNS would forward to itself for ever; k3s writes a file with a public server then (generated), and so does this.
func podResolvConf(system, generated string) (string, error) {
	content, err := os.ReadFile(system)
	if err != nil {
		return "", fmt.Errorf("read DNS configuration: %w", err)
	}
	if usableInPods(string(content)) {
		return system, nil
	}
	if err := writeFile(generated, []byte("nameserver 8.8.8.8\n"), 0o644); err != nil {
		return "", fmt.Errorf("write DNS configuration for pods: %w", err)
	}
	return generated, nil
}

// usableInPods says whether every name server is a unicast address beyond the node's loopback.
func usableInPods(resolvConf string) bool {
	found := false
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		ip, err := netip.ParseAddr(fields[1])
		if err != nil || !ip.IsGlobalUnicast() && !ip.IsLinkLocalUnicast() {
			return false
		}
		found = true
	}
	return found
}

// nodeIP returns the IPv4 address that this node uses towards other machines: the source address of its default route, else its first
// address that is no loopback.
func nodeIP() (netip.Addr, error) {
	// Connecting a UDP socket sends nothing; it only asks the kernel for a route.
	if conn, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer conn.Close()
		if a, ok := netip.AddrFromSlice(conn.LocalAddr().(*net.UDPAddr).IP.To4()); ok && !a.IsLoopback() {
			return a, nil
		}
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find node address: %w", err)
	}
	i := slices.IndexFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast()
	})
	if i < 0 {
		return netip.Addr{}, fmt.Errorf("find node address: no interface has an IPv4 address: set --node-ip")
	}
	return netip.MustParsePrefix(all[i].String()).Addr(), nil
}

// shareMounts makes mounts of the node visible in pods and the other way round, as a systemd host has it and Docker has not.
func shareMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w: the node needs a privileged container", err)
	}
	return nil
}
