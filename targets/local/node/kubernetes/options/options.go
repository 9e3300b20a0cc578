// Package options reads the command line and the environment of `k3s server` and `k3s agent`.
//
// Flags have k3s's names and meanings (https://docs.k3s.io/cli/server, https://docs.k3s.io/cli/agent). A flag of k3s that this node
// cannot honour is refused by name: running on without it would be a cluster other than the one that was asked for.
package options

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Role says what a node does.
type Role string

const (
	// Server runs the control plane, and pods like any other node.
	Server Role = "server"
	// Agent runs pods for a server.
	Agent Role = "agent"
)

// Options is one node's configuration. Defaults are k3s's unless the field says otherwise.
type Options struct {
	Role Role

	// NodeName defaults to the host name.
	NodeName string
	// NodeIP is this node's address towards the others; the zero value means: find it.
	NodeIP     netip.Addr
	NodeLabels []string
	NodeTaints []string

	// Token authenticates agents towards the server. Empty on a server means: make one and keep it in the data directory.
	Token string
	// ServerURL is where an agent finds its server, https://HOST:PORT.
	ServerURL string

	// TLSSANs are names and addresses that the API server's certificate has besides the node's own.
	TLSSANs []string
	// Port of the API server, 6443.
	Port int
	// AdvertiseIP is the API server's address for pods and agents; the zero value means NodeIP.
	AdvertiseIP netip.Addr

	ClusterCIDR   netip.Prefix
	ServiceCIDR   netip.Prefix
	ClusterDNS    netip.Addr
	ClusterDomain string
	// PodNetwork is false with --flannel-backend=none: somebody else brings the CNI configuration and the routes.
	PodNetwork bool
	KubeProxy  bool
	// CoreDNS is false with --disable=coredns.
	CoreDNS bool

	// KubeconfigOutput is a second place for the administrator's kubeconfig, empty for none.
	KubeconfigOutput string
	KubeconfigMode   os.FileMode

	Snapshotter string

	// Further arguments of the programs, each "--name=value", placed after the node's own so that they win.
	APIServerArgs         []string
	ControllerManagerArgs []string
	SchedulerArgs         []string
	EtcdArgs              []string
	KubeletArgs           []string
	KubeProxyArgs         []string
}

// packaged are the components that k3s can leave out with --disable. Only CoreDNS is in this node; the others are absent anyway.
var packaged = []string{"coredns", "servicelb", "traefik", "local-storage", "metrics-server", "runtimes"}

// refused are flags of k3s that this node cannot honour, with the reason.
var refused = map[string]string{
	"config":                     "there is no configuration file; pass flags",
	"data-dir":                   "the data directory is always /var/lib/rancher/k3s",
	"datastore-endpoint":         "the datastore is always the server's own etcd",
	"docker":                     "the container runtime is always containerd",
	"container-runtime-endpoint": "the container runtime is always the node's own containerd",
	"disable-agent":              "a server always runs pods too",
	"disable-apiserver":          "a server always runs the whole control plane",
	"disable-controller-manager": "a server always runs the whole control plane",
	"disable-etcd":               "a server always runs the whole control plane",
	"disable-scheduler":          "a server always runs the whole control plane",
	"enable-pprof":               "the supervisor has no listener of its own",
	"flannel-conf":               "pods are routed by the nodes themselves",
	"flannel-iface":              "pods are routed over the nodes' own addresses",
	"node-external-ip":           "nodes have one address",
	"pause-image":                "the pause image comes with the node image",
	"private-registry":           "set up containerd through config-v3.toml.tmpl",
	"rootless":                   "the node needs root",
	"secrets-encryption":         "secrets are stored as they are",
	"selinux":                    "SELinux is not supported",
	"vpn-auth":                   "there is no VPN",
	"cluster-reset":              "delete the cluster and create another",
	"embedded-registry":          "there is no embedded registry",
	"system-default-registry":    "no system image is pulled",
	"prefer-bundled-bin":         "the node's programs are Debian's",
}

// refusedEnv are k3s's environment variables that this node cannot honour, with the reason.
var refusedEnv = map[string]string{
	"K3S_DATASTORE_ENDPOINT": refused["datastore-endpoint"],
	"K3S_CONFIG_FILE":        refused["config"],
	"K3S_DATA_DIR":           refused["data-dir"],
	"K3S_ROOTLESS":           refused["rootless"],
	"K3S_SELINUX":            refused["selinux"],
}

// refusedFiles are k3s's configuration files that this node cannot honour, with the reason.
var refusedFiles = map[string]string{
	"/etc/rancher/k3s/config.yaml":     refused["config"],
	"/etc/rancher/k3s/registries.yaml": refused["private-registry"],
}

// Parse reads args, the arguments after "server" or "agent", and k3s's environment variables through getenv. A flag wins over its
// variable. The host name is the default of the node name.
func Parse(role Role, args []string, getenv func(string) string, hostname string) (*Options, error) {
	for name, reason := range refusedEnv {
		if getenv(name) != "" {
			return nil, fmt.Errorf("read environment: %s is not supported on a node built from source: %s", name, reason)
		}
	}
	for file, reason := range refusedFiles {
		if _, err := os.Stat(file); err == nil {
			return nil, fmt.Errorf("read configuration: %s is not supported on a node built from source: %s", file, reason)
		}
	}
	fs := pflag.NewFlagSet("k3s "+string(role), pflag.ContinueOnError)
	fs.Usage = func() {}
	raw := declare(fs, role, getenv, hostname)
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("read arguments of k3s %s: %w", role, err)
	}
	if rest := fs.Args(); len(rest) > 0 {
		return nil, fmt.Errorf("read arguments of k3s %s: unexpected argument %q", role, rest[0])
	}
	for name, reason := range refused {
		if f := fs.Lookup(name); f != nil && f.Changed {
			return nil, fmt.Errorf("read arguments of k3s %s: --%s is not supported on a node built from source: %s", role, name, reason)
		}
	}
	options, err := raw.options(role)
	if err != nil {
		return nil, fmt.Errorf("read arguments of k3s %s: %w", role, err)
	}
	return options, nil
}

// raw is what the flags say, before it is understood.
type raw struct {
	nodeName, nodeIP, token, tokenFile, serverURL, advertise       string
	clusterCIDR, serviceCIDR, clusterDNS, clusterDomain, flannel   string
	kubeconfigOutput, kubeconfigMode, snapshotter, egress, bind    string
	port                                                           int
	nodeLabels, nodeTaints, tlsSANs, disable                       []string
	apiServer, controllerManager, scheduler, etcd, kubelet, kproxy []string
	noKubeProxy                                                    bool
}

func declare(fs *pflag.FlagSet, role Role, getenv func(string) string, hostname string) *raw {
	r := &raw{}
	or := func(name, fallback string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return fallback
	}
	fs.StringVar(&r.nodeName, "node-name", or("K3S_NODE_NAME", hostname), "")
	fs.StringVarP(&r.nodeIP, "node-ip", "i", "", "")
	fs.StringSliceVar(&r.nodeLabels, "node-label", nil, "")
	fs.StringSliceVar(&r.nodeTaints, "node-taint", nil, "")
	fs.StringVarP(&r.token, "token", "t", getenv("K3S_TOKEN"), "")
	fs.StringVar(&r.tokenFile, "token-file", getenv("K3S_TOKEN_FILE"), "")
	fs.StringVarP(&r.serverURL, "server", "s", getenv("K3S_URL"), "")
	fs.StringVar(&r.snapshotter, "snapshotter", "overlayfs", "")
	// Arrays, not slices: values such as eviction-hard hold commas.
	fs.StringArrayVar(&r.kubelet, "kubelet-arg", nil, "")
	fs.StringArrayVar(&r.kproxy, "kube-proxy-arg", nil, "")
	fs.Bool("debug", false, "")
	fs.IntP("v", "v", 0, "")
	fs.Bool("protect-kernel-defaults", false, "")
	for name := range refused {
		fs.String(name, "", "")
		fs.Lookup(name).NoOptDefVal = "true"
	}
	if role != Server {
		return r
	}
	fs.StringSliceVar(&r.tlsSANs, "tls-san", nil, "")
	fs.StringSliceVar(&r.disable, "disable", nil, "")
	fs.IntVar(&r.port, "https-listen-port", 6443, "")
	fs.StringVar(&r.bind, "bind-address", "", "")
	fs.StringVar(&r.advertise, "advertise-address", "", "")
	fs.StringVar(&r.clusterCIDR, "cluster-cidr", "10.42.0.0/16", "")
	fs.StringVar(&r.serviceCIDR, "service-cidr", "10.43.0.0/16", "")
	fs.StringVar(&r.clusterDNS, "cluster-dns", "", "")
	fs.StringVar(&r.clusterDomain, "cluster-domain", "cluster.local", "")
	fs.StringVar(&r.flannel, "flannel-backend", "host-gw", "")
	fs.StringVar(&r.egress, "egress-selector-mode", "disabled", "")
	fs.StringVarP(&r.kubeconfigOutput, "write-kubeconfig", "o", getenv("K3S_KUBECONFIG_OUTPUT"), "")
	fs.StringVar(&r.kubeconfigMode, "write-kubeconfig-mode", or("K3S_KUBECONFIG_MODE", "0600"), "")
	fs.StringArrayVar(&r.apiServer, "kube-apiserver-arg", nil, "")
	fs.StringArrayVar(&r.controllerManager, "kube-controller-manager-arg", nil, "")
	fs.StringArrayVar(&r.scheduler, "kube-scheduler-arg", nil, "")
	fs.StringArrayVar(&r.etcd, "etcd-arg", nil, "")
	fs.BoolVar(&r.noKubeProxy, "disable-kube-proxy", false, "")
	// True of this node whether asked for or not.
	fs.Bool("cluster-init", false, "")
	fs.Bool("disable-network-policy", false, "")
	fs.Bool("disable-cloud-controller", false, "")
	fs.Bool("disable-helm-controller", false, "")
	return r
}

func (r *raw) options(role Role) (*Options, error) {
	o := &Options{
		Role:             role,
		NodeName:         strings.ToLower(r.nodeName),
		NodeLabels:       r.nodeLabels,
		NodeTaints:       r.nodeTaints,
		Token:            r.token,
		ServerURL:        strings.TrimSuffix(r.serverURL, "/"),
		TLSSANs:          r.tlsSANs,
		Port:             r.port,
		ClusterDomain:    r.clusterDomain,
		PodNetwork:       true,
		KubeProxy:        !r.noKubeProxy,
		CoreDNS:          true,
		KubeconfigOutput: r.kubeconfigOutput,
		Snapshotter:      r.snapshotter,
	}
	var err error
	if o.NodeName == "" {
		return nil, fmt.Errorf("--node-name is empty and the host has no name")
	}
	if o.NodeIP, err = address("--node-ip", r.nodeIP); err != nil {
		return nil, err
	}
	if r.tokenFile != "" && o.Token == "" {
		content, err := os.ReadFile(r.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read --token-file: %w", err)
		}
		o.Token = strings.TrimSpace(string(content))
	}
	if !slices.Contains([]string{"overlayfs", "native"}, o.Snapshotter) {
		return nil, fmt.Errorf("--snapshotter=%s is not supported on a node built from source: use overlayfs or native", o.Snapshotter)
	}
	if o.KubeletArgs, err = arguments("--kubelet-arg", r.kubelet); err != nil {
		return nil, err
	}
	if o.KubeProxyArgs, err = arguments("--kube-proxy-arg", r.kproxy); err != nil {
		return nil, err
	}
	if role == Agent {
		return o, o.checkAgent()
	}
	return o, o.readServer(r)
}

func (o *Options) checkAgent() error {
	if o.ServerURL == "" {
		return fmt.Errorf("no server to join: set --server or K3S_URL, such as https://HOST:6443")
	}
	if u, err := url.Parse(o.ServerURL); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--server %q is not an address such as https://HOST:6443", o.ServerURL)
	}
	if o.Token == "" {
		return fmt.Errorf("no token to join %s with: set --token, --token-file or K3S_TOKEN", o.ServerURL)
	}
	return nil
}

func (o *Options) readServer(r *raw) error {
	var err error
	if o.ServerURL != "" {
		return fmt.Errorf("--server %s (K3S_URL): a second server is not supported on a node built from source: add agents instead", o.ServerURL)
	}
	if r.bind != "" && r.bind != "0.0.0.0" {
		return fmt.Errorf("--bind-address=%s is not supported on a node built from source: the API server listens on every address", r.bind)
	}
	if r.egress != "disabled" {
		return fmt.Errorf("--egress-selector-mode=%s is not supported on a node built from source: use disabled", r.egress)
	}
	switch r.flannel {
	case "host-gw":
	case "none":
		o.PodNetwork = false
	default:
		return fmt.Errorf("--flannel-backend=%s is not supported on a node built from source: use host-gw (the default here) or none", r.flannel)
	}
	for _, name := range r.disable {
		if !slices.Contains(packaged, name) {
			return fmt.Errorf("--disable=%s: no such component: know %s", name, strings.Join(packaged, ", "))
		}
		if name == "coredns" {
			o.CoreDNS = false
		}
	}
	if o.AdvertiseIP, err = address("--advertise-address", r.advertise); err != nil {
		return err
	}
	if o.ClusterCIDR, err = prefix("--cluster-cidr", r.clusterCIDR, 24); err != nil {
		return err
	}
	if o.ServiceCIDR, err = prefix("--service-cidr", r.serviceCIDR, 28); err != nil {
		return err
	}
	if o.ClusterCIDR.Overlaps(o.ServiceCIDR) {
		return fmt.Errorf("--cluster-cidr %s and --service-cidr %s overlap", o.ClusterCIDR, o.ServiceCIDR)
	}
	if o.ClusterDNS, err = address("--cluster-dns", r.clusterDNS); err != nil {
		return err
	}
	if !o.ClusterDNS.IsValid() {
		// The tenth address, as in k3s: the first is the API server's.
		o.ClusterDNS = Nth(o.ServiceCIDR, 10)
	} else if !o.ServiceCIDR.Contains(o.ClusterDNS) {
		return fmt.Errorf("--cluster-dns %s is outside --service-cidr %s", o.ClusterDNS, o.ServiceCIDR)
	}
	mode, err := strconv.ParseUint(r.kubeconfigMode, 8, 9)
	if err != nil {
		return fmt.Errorf("--write-kubeconfig-mode %q is not an octal mode such as 0600", r.kubeconfigMode)
	}
	o.KubeconfigMode = os.FileMode(mode)
	for _, further := range []struct {
		flag string
		from []string
		to   *[]string
	}{
		{"--kube-apiserver-arg", r.apiServer, &o.APIServerArgs},
		{"--kube-controller-manager-arg", r.controllerManager, &o.ControllerManagerArgs},
		{"--kube-scheduler-arg", r.scheduler, &o.SchedulerArgs},
		{"--etcd-arg", r.etcd, &o.EtcdArgs},
	} {
		if *further.to, err = arguments(further.flag, further.from); err != nil {
			return err
		}
	}
	return nil
}

// Nth returns the n-th address after the first of an IPv4 prefix.
func Nth(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}

// arguments turns k3s's "name=value" into "--name=value".
func arguments(flag string, values []string) ([]string, error) {
	var out []string
	for _, v := range values {
		name := strings.TrimLeft(v, "-")
		if name == "" || strings.HasPrefix(name, "=") {
			return nil, fmt.Errorf("%s %q is not of the form name=value", flag, v)
		}
		out = append(out, "--"+name)
	}
	return out, nil
}

func address(flag, value string) (netip.Addr, error) {
	if value == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(value)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%s %q is not an IPv4 address", flag, value)
	}
	return a, nil
}

func prefix(flag, value string, longest int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(value)
	if err != nil || !p.Addr().Is4() || p.Bits() > longest {
		return netip.Prefix{}, fmt.Errorf("%s %q is not an IPv4 range of at least /%d, such as 10.42.0.0/16", flag, value, longest)
	}
	return p.Masked(), nil
}
