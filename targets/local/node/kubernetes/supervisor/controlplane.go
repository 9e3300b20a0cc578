package supervisor

import (
	"fmt"
	"net/netip"

	"github.com/cedana/cedana-e2e/node/kubernetes/options"
)

const (
	etcdURL = "https://127.0.0.1:2379"
	// etcdPeerURL is where a second member would talk to this one. There is none, but etcd wants the address.
	etcdPeerURL = "https://127.0.0.1:2380"
	// noListener turns off the controller manager's and the scheduler's own HTTPS server. Nobody asks them, and each would make an RSA
	// key for it at every start, which takes up to a second.
	noListener = "--secure-port=0"
)

// controlPlane makes the command lines of a server's programs.
type controlPlane struct {
	options *options.Options
	ids     *identities
	ip      netip.Addr
}

// url is the API server's address on its own node.
func (c controlPlane) url() string { return fmt.Sprintf("https://127.0.0.1:%d", c.options.Port) }

func kubeconfigPath(user string) string { return credDir + "/" + user + ".kubeconfig" }

func (c controlPlane) etcd() program {
	args := []string{
		"--name=default",
		"--data-dir=" + etcdDir,
		"--listen-client-urls=" + etcdURL,
		"--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=" + etcdPeerURL,
		"--initial-advertise-peer-urls=" + etcdPeerURL,
		"--initial-cluster=default=" + etcdPeerURL,
		"--client-cert-auth=true",
		"--trusted-ca-file=" + c.ids.etcd.CertFile(),
		"--cert-file=" + c.ids.etcdServer.Cert,
		"--key-file=" + c.ids.etcdServer.Key,
		"--peer-client-cert-auth=true",
		"--peer-trusted-ca-file=" + c.ids.etcd.CertFile(),
		"--peer-cert-file=" + c.ids.etcdServer.Cert,
		"--peer-key-file=" + c.ids.etcdServer.Key,
		// A member alone need not wait for others before it leads.
		"--heartbeat-interval=20",
		"--election-timeout=200",
		// A test cluster's data need not survive the machine's power cut, only the container's restart.
		"--unsafe-no-fsync=true",
		"--log-level=warn",
	}
	return program{name: "etcd", path: "etcd", memory: "200MiB", args: append(args, c.options.EtcdArgs...)}
}

func (c controlPlane) apiServer() program {
	advertise := c.ip
	if c.options.AdvertiseIP.IsValid() {
		advertise = c.options.AdvertiseIP
	}
	args := []string{
		"--advertise-address=" + advertise.String(),
		fmt.Sprintf("--secure-port=%d", c.options.Port),
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--enable-bootstrap-token-auth=true",
		"--client-ca-file=" + c.ids.cluster.CertFile(),
		"--tls-cert-file=" + c.ids.apiServer.Cert,
		"--tls-private-key-file=" + c.ids.apiServer.Key,
		"--etcd-servers=" + etcdURL,
		"--etcd-cafile=" + c.ids.etcd.CertFile(),
		"--etcd-certfile=" + c.ids.apiServerToEtcd.Cert,
		"--etcd-keyfile=" + c.ids.apiServerToEtcd.Key,
		"--kubelet-certificate-authority=" + c.ids.cluster.CertFile(),
		"--kubelet-client-certificate=" + c.ids.apiServerToKubelet.Cert,
		"--kubelet-client-key=" + c.ids.apiServerToKubelet.Key,
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		"--requestheader-client-ca-file=" + c.ids.frontProxy.CertFile(),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + c.ids.frontProxyClient.Cert,
		"--proxy-client-key-file=" + c.ids.frontProxyClient.Key,
		"--service-account-issuer=https://kubernetes.default.svc." + c.options.ClusterDomain,
		"--service-account-key-file=" + c.ids.serviceAccountKey,
		"--service-account-signing-key-file=" + c.ids.serviceAccountKey,
		"--service-cluster-ip-range=" + c.options.ServiceCIDR.String(),
		"--profiling=false",
	}
	return program{name: "kube-apiserver", memory: "700MiB", args: append(args, c.options.APIServerArgs...)}
}

func (c controlPlane) controllerManager() program {
	args := []string{
		"--kubeconfig=" + kubeconfigPath("controller-manager"),
		noListener,
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.ids.serviceAccountKey,
		"--root-ca-file=" + c.ids.cluster.CertFile(),
		"--cluster-signing-cert-file=" + c.ids.cluster.CertFile(),
		"--cluster-signing-key-file=" + c.ids.cluster.KeyFile(),
		"--allocate-node-cidrs=true",
		"--configure-cloud-routes=false",
		"--cluster-cidr=" + c.options.ClusterCIDR.String(),
		"--service-cluster-ip-range=" + c.options.ServiceCIDR.String(),
		"--kube-api-qps=100",
		"--kube-api-burst=200",
		"--profiling=false",
	}
	return program{name: "kube-controller-manager", memory: "200MiB", args: append(args, c.options.ControllerManagerArgs...)}
}

func (c controlPlane) scheduler() program {
	args := []string{
		"--kubeconfig=" + kubeconfigPath("scheduler"),
		noListener,
		"--leader-elect=false",
		"--profiling=false",
	}
	return program{name: "kube-scheduler", memory: "150MiB", args: append(args, c.options.SchedulerArgs...)}
}
