package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
)

// Pods of one node reach those of another by a plain route to the other node's share of the pod addresses (what flannel calls host-gw):
// k3d's nodes are on one Docker network, so nothing has to be wrapped.

// cniConfig is the pod network of one node, whose pods get addresses from podCIDR. Each pod has a point-to-point link rather than a
// port on a bridge: packets between two pods of a node are then routed, so connection tracking sees both directions even on hosts
// without br_netfilter, and a service address works from the pod next to its endpoint.
func cniConfig(podCIDR netip.Prefix) ([]byte, error) {
	type object = map[string]any
	config, err := json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "cbr0",
		"plugins": []object{
			{
				"type": "ptp",
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": podCIDR.String()}}},
					"routes": []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("make CNI configuration: %w", err)
	}
	return append(config, '\n'), nil
}

// route is one that this node needs: another node's pods, by way of that node.
type route struct {
	pods netip.Prefix
	via  netip.Addr
}

// routesTo lists the routes to the pods of all nodes but the one named self.
func routesTo(nodes []*corev1.Node, self string) []route {
	var routes []route
	for _, n := range nodes {
		pods, ok := podCIDR(n)
		via, known := internalIP(n)
		if n.Name != self && ok && known {
			routes = append(routes, route{pods, via})
		}
	}
	return routes
}

func podCIDR(n *corev1.Node) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(n.Spec.PodCIDR)
	return p, err == nil
}

func internalIP(n *corev1.Node) (netip.Addr, bool) {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			if ip, err := netip.ParseAddr(a.Address); err == nil && ip.Is4() {
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}

// routeProtocol marks the routes that are the supervisor's, so that it removes none but its own.
const routeProtocol = 0x6b

// syncRoutes makes the kernel's routes those wanted.
func syncRoutes(wanted []route) error {
	present, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	var problems []error
	keep := map[string]bool{}
	for _, w := range wanted {
		keep[w.pods.String()] = true
		r := &netlink.Route{
			Dst:      &net.IPNet{IP: w.pods.Addr().AsSlice(), Mask: net.CIDRMask(w.pods.Bits(), 32)},
			Gw:       w.via.AsSlice(),
			Protocol: routeProtocol,
		}
		if err := netlink.RouteReplace(r); err != nil {
			problems = append(problems, fmt.Errorf("set route to %s via %s: %w", w.pods, w.via, err))
		}
	}
	for _, r := range present {
		if r.Dst != nil && !keep[r.Dst.String()] {
			if err := netlink.RouteDel(&r); err != nil {
				problems = append(problems, fmt.Errorf("remove route to %s: %w", r.Dst, err))
			}
		}
	}
	return errors.Join(problems...)
}

// rule is one of the node's own firewall rules.
type rule struct {
	table, chain string
	// first puts it before the chain's others.
	first bool
	match []string
}

// masquerade lets pods reach the world beyond the cluster with their node's address. Between pods addresses stay as they are.
func masquerade(ctx context.Context, clusterCIDR string) error {
	return ensureRules(ctx, "masquerade pods",
		rule{table: "nat", chain: "POSTROUTING", match: []string{"-s", clusterCIDR, "-d", clusterCIDR, "-m", "comment", "--comment", "pods to pods", "-j", "RETURN"}},
		rule{table: "nat", chain: "POSTROUTING", match: []string{"-s", clusterCIDR, "!", "-d", "224.0.0.0/4", "-m", "comment", "--comment", "pods to the world", "-j", "MASQUERADE"}},
	)
}

// keepServicesInside refuses what still has a service's address after kube-proxy's translation: a service without a rule, as while kube-proxy
// writes its rules anew. Such a packet would leave the cluster, and whoever has that address outside might answer.
func keepServicesInside(ctx context.Context, serviceCIDR string) error {
	match := []string{"-d", serviceCIDR, "-m", "comment", "--comment", "services stay inside", "-j", "REJECT"}
	return ensureRules(ctx, "keep services inside",
		rule{table: "filter", chain: "FORWARD", first: true, match: match},
		rule{table: "filter", chain: "OUTPUT", first: true, match: match},
	)
}

func ensureRules(ctx context.Context, what string, rules ...rule) error {
	for _, r := range rules {
		if iptables(ctx, r, "-C") == nil {
			continue
		}
		verb := "-A"
		if r.first {
			verb = "-I"
		}
		if err := iptables(ctx, r, verb); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

func iptables(ctx context.Context, r rule, verb string) error {
	args := append([]string{"-w", "5", "-t", r.table, verb, r.chain}, r.match...)
	if out, err := exec.CommandContext(ctx, "iptables", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// podNetwork keeps one node's pod network: the CNI configuration from the node's own share of addresses, and the routes to the others'.
type podNetwork struct {
	self string
	log  *slog.Logger
}

// update acts on the cluster's nodes as they are now.
func (p podNetwork) update(nodes []*corev1.Node) error {
	for _, n := range nodes {
		pods, ok := podCIDR(n)
		if n.Name != p.self || !ok {
			continue
		}
		config, err := cniConfig(pods)
		if err != nil {
			return err
		}
		if err := writeFile(cniConfigDir+"/10-k3s.conflist", config, 0o644); err != nil {
			return fmt.Errorf("write CNI configuration: %w", err)
		}
	}
	return syncRoutes(routesTo(nodes, p.self))
}
