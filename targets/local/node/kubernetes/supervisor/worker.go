package supervisor

import (
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/node/kubernetes/options"
	"github.com/cedana/cedana-e2e/node/kubernetes/pki"
)

// worker makes the configuration and the command lines of the programs that every node runs, server or agent.
type worker struct {
	options *options.Options
	host    host
	ip      netip.Addr
	// caFile verifies the API server, and the clients of the kubelet.
	caFile string
	// clusterDNS and clusterDomain are the server's to say.
	cluster clusterFacts
	// kubeletServer is the kubelet's own certificate; empty means that it asks the cluster for one.
	kubeletServer       pki.Pair
	kubeletKubeconfig   string
	bootstrapKubeconfig string
	kubeProxyKubeconfig string
}

// clusterFacts are what every node has to know of its cluster and only the server is told. Agents read them when they join.
type clusterFacts struct {
	ClusterCIDR   string `json:"clusterCIDR"`
	ServiceCIDR   string `json:"serviceCIDR"`
	ClusterDNS    string `json:"clusterDNS"`
	ClusterDomain string `json:"clusterDomain"`
	PodNetwork    bool   `json:"podNetwork"`
	KubeProxy     bool   `json:"kubeProxy"`
}

func factsOf(o *options.Options) clusterFacts {
	return clusterFacts{
		ClusterCIDR:   o.ClusterCIDR.String(),
		ServiceCIDR:   o.ServiceCIDR.String(),
		ClusterDNS:    o.ClusterDNS.String(),
		ClusterDomain: o.ClusterDomain,
		PodNetwork:    o.PodNetwork,
		KubeProxy:     o.KubeProxy,
	}
}

const (
	kubeletConfigFile = agentDir + "/etc/kubelet.yaml"
	kubeletCertDir    = agentDir + "/kubelet-pki"
)

// kubeletConfig is the kubelet's configuration file.
func (w worker) kubeletConfig() ([]byte, error) {
	yes, no := true, false
	zero, unlimited, full := int32(0), int32(0), int32(100)
	c := kubeletv1beta1.KubeletConfiguration{
		Authentication: kubeletv1beta1.KubeletAuthentication{
			Anonymous: kubeletv1beta1.KubeletAnonymousAuthentication{Enabled: &no},
			Webhook:   kubeletv1beta1.KubeletWebhookAuthentication{Enabled: &yes},
			X509:      kubeletv1beta1.KubeletX509Authentication{ClientCAFile: w.caFile},
		},
		Authorization:            kubeletv1beta1.KubeletAuthorization{Mode: kubeletv1beta1.KubeletAuthorizationModeWebhook},
		CgroupDriver:             "cgroupfs",
		ClusterDNS:               []string{w.cluster.ClusterDNS},
		ClusterDomain:            w.cluster.ClusterDomain,
		ContainerRuntimeEndpoint: "unix://" + ContainerdSocket,
		FailSwapOn:               &no,
		FailCgroupV1:             &no,
		ResolverConfig:           &w.host.resolvConf,
		// A test node lives on a machine whose disk it shares: neither pods nor images go because others fill it. An image that was
		// imported cannot be pulled again.
		EvictionHard:                map[string]string{"imagefs.available": "1%", "nodefs.available": "1%"},
		ImageGCHighThresholdPercent: &full,
		SerializeImagePulls:         &no,
		RegistryPullQPS:             &zero,
		EventRecordQPS:              &unlimited,
		KubeAPIQPS:                  &full,
		KubeAPIBurst:                200,
		// How soon a changed ConfigMap (k3d's host records for CoreDNS) is seen in a pod; 1 minute by default.
		SyncFrequency: metav1.Duration{Duration: 10 * 1e9},
		// A pod's first watch of its ConfigMaps is often refused, since the API server has not seen yet that the pod is this node's. The
		// watch is tried again only after a second or two, which all of the cluster's creation waits for; a get after half of one.
		ConfigMapAndSecretChangeDetectionStrategy: kubeletv1beta1.GetChangeDetectionStrategy,
		RotateCertificates:                        true,
	}
	c.SetGroupVersionKind(schema.GroupVersionKind{Group: "kubelet.config.k8s.io", Version: "v1beta1", Kind: "KubeletConfiguration"})
	if !w.host.adjustOOM {
		c.OOMScoreAdj = &zero
	}
	if w.kubeletServer.Cert != "" {
		c.TLSCertFile, c.TLSPrivateKeyFile = w.kubeletServer.Cert, w.kubeletServer.Key
	} else {
		c.ServerTLSBootstrap = true
	}
	content, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("make kubelet configuration: %w", err)
	}
	return content, nil
}

func (w worker) kubelet() program {
	args := []string{
		"--config=" + kubeletConfigFile,
		"--kubeconfig=" + w.kubeletKubeconfig,
		"--cert-dir=" + kubeletCertDir,
		"--hostname-override=" + w.options.NodeName,
		"--node-ip=" + w.ip.String(),
		"--node-labels=" + strings.Join(append([]string{"node.kubernetes.io/instance-type=k3s"}, w.options.NodeLabels...), ","),
	}
	if w.bootstrapKubeconfig != "" {
		args = append(args, "--bootstrap-kubeconfig="+w.bootstrapKubeconfig)
	}
	if len(w.options.NodeTaints) > 0 {
		args = append(args, "--register-with-taints="+strings.Join(w.options.NodeTaints, ","))
	}
	return program{name: "kubelet", memory: "200MiB", args: append(args, w.options.KubeletArgs...)}
}

func (w worker) kubeProxy() program {
	args := []string{
		"--kubeconfig=" + w.kubeProxyKubeconfig,
		"--hostname-override=" + w.options.NodeName,
		"--cluster-cidr=" + w.cluster.ClusterCIDR,
		"--proxy-mode=iptables",
		"--iptables-min-sync-period=100ms",
		"--healthz-bind-address=127.0.0.1",
		// Connection tracking is the machine's to tune; a container may not.
		"--conntrack-max-per-core=0",
		"--conntrack-min=0",
		"--conntrack-tcp-timeout-established=0",
		"--conntrack-tcp-timeout-close-wait=0",
	}
	if !w.host.adjustOOM {
		args = append(args, "--oom-score-adj=0")
	}
	return program{name: "kube-proxy", memory: "150MiB", args: append(args, w.options.KubeProxyArgs...)}
}
