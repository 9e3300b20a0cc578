package supervisor

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cedana/cedana-e2e/node/kubernetes/options"
	"github.com/cedana/cedana-e2e/node/kubernetes/pki"
)

// identities are a server's authorities and the certificates of its programs. Each client is somebody of its own, with the rights that
// Kubernetes' own roles give to that name.
type identities struct {
	cluster    *pki.Authority
	frontProxy *pki.Authority
	etcd       *pki.Authority

	serviceAccountKey string

	apiServer, apiServerToKubelet, apiServerToEtcd, frontProxyClient pki.Pair
	etcdServer                                                       pki.Pair
	admin, controllerManager, scheduler, kubeProxy, supervisor       pki.Pair
	kubelet, kubeletServer                                           pki.Pair
}

var (
	loopback    = netip.MustParseAddr("127.0.0.1")
	forServers  = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	forClients  = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	forBothEnds = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
)

// kubeletClientUser is the API server's name towards kubelets; a role binding among the manifests gives it its rights.
const kubeletClientUser = "system:kube-apiserver-kubelet-client"

// openIdentities finds or makes all of a server's certificates in dir.
func openIdentities(dir string, o *options.Options, ip netip.Addr) (*identities, error) {
	ids := &identities{serviceAccountKey: dir + "/service.key"}
	for name, authority := range map[string]**pki.Authority{
		"ca":             &ids.cluster,
		"front-proxy-ca": &ids.frontProxy,
		"etcd-ca":        &ids.etcd,
	} {
		a, err := pki.OpenAuthority(dir, name)
		if err != nil {
			return nil, err
		}
		*authority = a
	}
	if _, err := pki.OpenKey(ids.serviceAccountKey); err != nil {
		return nil, fmt.Errorf("open service account key: %w", err)
	}
	names, addresses := serverNames(o, ip)
	for _, cert := range []struct {
		pair *pki.Pair
		by   *pki.Authority
		name string
		spec pki.Spec
	}{
		{&ids.apiServer, ids.cluster, "apiserver", pki.Spec{CommonName: "kube-apiserver", DNSNames: names, IPs: addresses, Usages: forServers}},
		{&ids.apiServerToKubelet, ids.cluster, "client-apiserver-kubelet", pki.Spec{CommonName: kubeletClientUser, Usages: forClients}},
		{&ids.apiServerToEtcd, ids.etcd, "client-etcd", pki.Spec{CommonName: "kube-apiserver-etcd-client", Usages: forClients}},
		{&ids.frontProxyClient, ids.frontProxy, "client-front-proxy", pki.Spec{CommonName: "front-proxy-client", Usages: forClients}},
		{&ids.etcdServer, ids.etcd, "etcd-server", pki.Spec{CommonName: "etcd", DNSNames: []string{"localhost"}, IPs: []netip.Addr{loopback}, Usages: forBothEnds}},
		{&ids.admin, ids.cluster, "client-admin", client("system:admin", "system:masters")},
		{&ids.supervisor, ids.cluster, "client-supervisor", client("system:k3s-supervisor", "system:masters")},
		{&ids.controllerManager, ids.cluster, "client-controller-manager", client("system:kube-controller-manager")},
		{&ids.scheduler, ids.cluster, "client-scheduler", client("system:kube-scheduler")},
		{&ids.kubeProxy, ids.cluster, "client-kube-proxy", client("system:kube-proxy")},
		{&ids.kubelet, ids.cluster, "client-kubelet", client("system:node:"+o.NodeName, "system:nodes")},
		{&ids.kubeletServer, ids.cluster, "kubelet-server", pki.Spec{
			CommonName: "system:node:" + o.NodeName, Organization: []string{"system:nodes"},
			DNSNames: []string{o.NodeName}, IPs: []netip.Addr{ip}, Usages: forServers,
		}},
	} {
		pair, err := cert.by.Issue(cert.name, cert.spec)
		if err != nil {
			return nil, err
		}
		*cert.pair = pair
	}
	return ids, nil
}

func client(user string, groups ...string) pki.Spec {
	return pki.Spec{CommonName: user, Organization: groups, Usages: forClients}
}

// serverNames lists what the API server is called: by pods, on the node, by k3d's port and by whatever --tls-san names.
func serverNames(o *options.Options, ip netip.Addr) (names []string, addresses []netip.Addr) {
	names = []string{
		"localhost", o.NodeName,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + o.ClusterDomain,
	}
	addresses = []netip.Addr{loopback, options.Nth(o.ServiceCIDR, 1), ip}
	if o.AdvertiseIP.IsValid() && !slices.Contains(addresses, o.AdvertiseIP) {
		addresses = append(addresses, o.AdvertiseIP)
	}
	for _, san := range o.TLSSANs {
		if a, err := netip.ParseAddr(san); err == nil {
			if !slices.Contains(addresses, a.Unmap()) {
				addresses = append(addresses, a.Unmap())
			}
		} else if !slices.Contains(names, san) {
			names = append(names, san)
		}
	}
	return names, addresses
}
