package supervisor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/certificate/csr"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"

	"github.com/cedana/cedana-e2e/node/kubernetes/options"
	"github.com/cedana/cedana-e2e/node/kubernetes/pki"
)

// Where an agent keeps what it got from its server. It survives a restart of the container.
const (
	agentCA                  = agentDir + "/server-ca.crt"
	agentKubelet             = agentDir + "/kubelet.kubeconfig"
	agentBootstrap           = agentDir + "/bootstrap.kubeconfig"
	agentKubeProxy           = agentDir + "/kube-proxy.kubeconfig"
	agentKubeProxyCert       = agentDir + "/client-kube-proxy.crt"
	agentKubeProxyKey        = agentDir + "/client-kube-proxy.key"
	agentCertificateLifetime = 365 * 24 * time.Hour
)

// agent runs pods for a server.
type agent struct {
	options  *options.Options
	log      *slog.Logger
	host     host
	ip       netip.Addr
	token    bootstrapToken
	programs *programs
}

// RunAgent joins a server and runs pods for it until ctx ends or one of its programs does not stay up. It waits for the server as long
// as that takes: a cluster's containers start in any order.
func RunAgent(ctx context.Context, o *options.Options, log *slog.Logger) error {
	a := &agent{options: o, log: log, token: deriveToken(o.Token)}
	if err := a.prepare(); err != nil {
		return fmt.Errorf("prepare agent: %w", err)
	}
	return a.programs.superviseUntilDone(ctx, log, a.run, [][]string{{"kubelet", "kube-proxy"}, {"containerd"}})
}

func (a *agent) prepare() error {
	var err error
	if err := shareMounts(); err != nil {
		return err
	}
	if a.host, err = inspectHost(); err != nil {
		return err
	}
	if a.ip = a.options.NodeIP; !a.ip.IsValid() {
		if a.ip, err = nodeIP(); err != nil {
			return err
		}
	}
	if err := prepareContainerd(newContainerdConfig(a.options.Snapshotter, a.host)); err != nil {
		return err
	}
	a.programs, err = newPrograms(logDir, a.log)
	return err
}

func (a *agent) run(ctx context.Context, background *sync.WaitGroup) error {
	if err := a.programs.start(containerdProgram()); err != nil {
		return err
	}
	runtimeUp := make(chan error, 1)
	go func() { runtimeUp <- startRuntime(ctx, a.log) }()

	// No limit: the server may be down for long.
	if err := a.trust(ctx); err != nil {
		return err
	}
	joining, err := kubernetes.NewForConfig(a.joiner())
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	facts, err := a.readFacts(ctx, joining)
	if err != nil {
		return err
	}
	if err := a.writeBootstrap(); err != nil {
		return err
	}
	w := a.worker(facts)
	if err := w.writeConfig(); err != nil {
		return err
	}
	if err := <-runtimeUp; err != nil {
		return err
	}
	if err := a.programs.start(w.kubelet()); err != nil {
		return err
	}
	if err := a.certifyKubeProxy(ctx, joining); err != nil {
		return err
	}
	if facts.KubeProxy {
		if err := a.programs.start(w.kubeProxy()); err != nil {
			return err
		}
	}
	if facts.PodNetwork {
		if err := masquerade(ctx, facts.ClusterCIDR); err != nil {
			return err
		}
		if err := keepServicesInside(ctx, facts.ServiceCIDR); err != nil {
			return err
		}
	}
	// kube-proxy's identity may watch nodes, which is all that the supervisor needs.
	config, err := restConfig(agentKubeProxy)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	a.programs.control(ctx, background, "follow nodes", func(ctx context.Context) error {
		return watchNodes(ctx, client, a.log, a.followNodes(facts))
	})
	return nil
}

func (a *agent) worker(facts clusterFacts) worker {
	return worker{
		options:             a.options,
		host:                a.host,
		ip:                  a.ip,
		caFile:              agentCA,
		cluster:             facts,
		kubeletKubeconfig:   agentKubelet,
		bootstrapKubeconfig: agentBootstrap,
		kubeProxyKubeconfig: agentKubeProxy,
	}
}

// trust learns the cluster's authority from the server, and believes it because the token signed it. What a former cluster gave is
// thrown away when the authority is another.
func (a *agent) trust(ctx context.Context) error {
	unverified, err := kubernetes.NewForConfig(&rest.Config{Host: a.options.ServerURL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	var caPEM []byte
	err = a.retry(ctx, "learn the authority of "+a.options.ServerURL, func(ctx context.Context) error {
		info, err := unverified.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, bootstrapapi.ConfigMapClusterInfo, metav1.GetOptions{})
		if err != nil {
			return err
		}
		caPEM, err = authorityFrom(info.Data, a.token)
		return err
	})
	if err != nil {
		return err
	}
	old, err := os.ReadFile(agentCA)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the cluster's authority: %w", err)
	}
	if !bytes.Equal(old, caPEM) {
		for _, stale := range []string{agentKubelet, agentKubeProxyCert, agentKubeProxyKey, kubeletCertDir} {
			if err := os.RemoveAll(stale); err != nil {
				return fmt.Errorf("forget the former cluster: %w", err)
			}
		}
	}
	if err := writeFile(agentCA, caPEM, 0o644); err != nil {
		return fmt.Errorf("keep the cluster's authority: %w", err)
	}
	return nil
}

// retry repeats try until it succeeds or ctx ends, and says every few seconds what keeps it.
func (a *agent) retry(ctx context.Context, what string, try func(context.Context) error) error {
	attempt := 0
	err := retry(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		once, cancel := context.WithTimeout(ctx, answerLimit)
		defer cancel()
		err := try(once)
		if err != nil && attempt%20 == 0 {
			a.log.Info("Waiting to "+what, "state", err)
		}
		attempt++
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// joiner is access to the server by token.
func (a *agent) joiner() *rest.Config {
	return &rest.Config{
		Host:            a.options.ServerURL,
		BearerToken:     a.token.bearer(),
		TLSClientConfig: rest.TLSClientConfig{CAFile: agentCA},
	}
}

func (a *agent) readFacts(ctx context.Context, client kubernetes.Interface) (clusterFacts, error) {
	var facts clusterFacts
	err := a.retry(ctx, "read the cluster's addresses", func(ctx context.Context) error {
		shared, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, factsConfigMap, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(shared.Data["facts"]), &facts)
	})
	return facts, err
}

// writeBootstrap writes the kubeconfig by which the kubelet asks for its first certificate.
func (a *agent) writeBootstrap() error {
	config := oneContext(
		&clientcmdapi.Cluster{Server: a.options.ServerURL, CertificateAuthority: agentCA},
		&clientcmdapi.AuthInfo{Token: a.token.bearer()},
	)
	return writeKubeconfig(agentBootstrap, config, 0o600)
}

// certifyKubeProxy gets kube-proxy a certificate from the cluster, unless there is one that serves.
func (a *agent) certifyKubeProxy(ctx context.Context, client kubernetes.Interface) error {
	key, err := pki.OpenKey(agentKubeProxyKey)
	if err != nil {
		return fmt.Errorf("certify kube-proxy: %w", err)
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("certify kube-proxy: %s holds no ECDSA key", agentKubeProxyKey)
	}
	if !pki.Serves(agentKubeProxyCert, public) {
		request, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: kubeProxyUser}}, key)
		if err != nil {
			return fmt.Errorf("certify kube-proxy: make request: %w", err)
		}
		life := agentCertificateLifetime
		var signed []byte
		err = a.retry(ctx, "get a certificate for kube-proxy", func(ctx context.Context) error {
			name, uid, err := csr.RequestCertificateWithContext(ctx, client,
				pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}), "",
				certificatesv1.KubeAPIServerClientSignerName, &life,
				[]certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}, key)
			if err != nil {
				return err
			}
			signed, err = csr.WaitForCertificate(ctx, client, name, uid)
			return err
		})
		if err != nil {
			return err
		}
		if err := writeFile(agentKubeProxyCert, signed, 0o644); err != nil {
			return fmt.Errorf("certify kube-proxy: %w", err)
		}
	}
	config, err := kubeconfigFor(a.options.ServerURL, agentCA, pki.Pair{Cert: agentKubeProxyCert, Key: agentKubeProxyKey}, false)
	if err != nil {
		return err
	}
	return writeKubeconfig(agentKubeProxy, config, 0o600)
}

// followNodes keeps the pod network and announces the node once the server knows it; k3d waits for those words.
func (a *agent) followNodes(facts clusterFacts) func([]*corev1.Node) error {
	network := podNetwork{self: a.options.NodeName}
	announced := false
	return func(nodes []*corev1.Node) error {
		for _, n := range nodes {
			if n.Name == a.options.NodeName && !announced {
				announced = true
				a.log.Info("Successfully registered node", "node", n.Name)
			}
		}
		if !facts.PodNetwork {
			return nil
		}
		return network.update(nodes)
	}
}
