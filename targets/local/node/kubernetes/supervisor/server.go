package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/cedana/cedana-e2e/node/kubernetes/options"
	"github.com/cedana/cedana-e2e/node/kubernetes/pki"
)

// server runs a control plane and the node it is on.
type server struct {
	options  *options.Options
	log      *slog.Logger
	host     host
	ip       netip.Addr
	token    bootstrapToken
	ids      *identities
	programs *programs
}

// RunServer runs a server until ctx ends or one of its programs does not stay up.
func RunServer(ctx context.Context, o *options.Options, log *slog.Logger) error {
	s := &server{options: o, log: log}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("prepare server: %w", err)
	}
	return s.programs.superviseUntilDone(ctx, log, s.run, serverGroups)
}

// serverGroups is the order in which a server's programs stop: clients before those whom they talk to.
var serverGroups = [][]string{
	{"kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler"},
	{"kube-apiserver"},
	{"etcd", "containerd"},
}

// prepare makes everything that is on disk.
func (s *server) prepare() error {
	var err error
	if err := shareMounts(); err != nil {
		return err
	}
	if s.host, err = inspectHost(); err != nil {
		return err
	}
	if s.host.resolvConf != "/etc/resolv.conf" {
		s.log.Warn("pods cannot use the node's DNS server, which is on its loopback: names outside the cluster are asked of a public server", "file", s.host.resolvConf)
	}
	if s.ip = s.options.NodeIP; !s.ip.IsValid() {
		if s.ip, err = nodeIP(); err != nil {
			return err
		}
	}
	token, err := serverToken(s.options.Token, serverDir+"/token")
	if err != nil {
		return err
	}
	s.token = deriveToken(token)
	if s.ids, err = openIdentities(tlsDir, s.options, s.ip); err != nil {
		return err
	}
	if err := os.MkdirAll(etcdDir, 0o700); err != nil {
		return fmt.Errorf("create etcd's directory: %w", err)
	}
	if err := s.writeKubeconfigs(); err != nil {
		return err
	}
	if err := writeManifests(manifestDir, factsOf(s.options), s.options.CoreDNS); err != nil {
		return err
	}
	if err := prepareContainerd(newContainerdConfig(s.options.Snapshotter, s.host)); err != nil {
		return err
	}
	if s.programs, err = newPrograms(logDir, s.log); err != nil {
		return err
	}
	return s.worker().writeConfig()
}

func (s *server) plane() controlPlane {
	return controlPlane{options: s.options, ids: s.ids, ip: s.ip}
}

func (s *server) worker() worker {
	return worker{
		options:             s.options,
		host:                s.host,
		ip:                  s.ip,
		caFile:              s.ids.cluster.CertFile(),
		cluster:             factsOf(s.options),
		kubeletServer:       s.ids.kubeletServer,
		kubeletKubeconfig:   kubeconfigPath("kubelet"),
		kubeProxyKubeconfig: kubeconfigPath("kube-proxy"),
	}
}

func (s *server) writeKubeconfigs() error {
	url, ca := s.plane().url(), s.ids.cluster.CertFile()
	for user, pair := range map[string]pki.Pair{
		"controller-manager": s.ids.controllerManager,
		"scheduler":          s.ids.scheduler,
		"kubelet":            s.ids.kubelet,
		"kube-proxy":         s.ids.kubeProxy,
		"supervisor":         s.ids.supervisor,
	} {
		config, err := kubeconfigFor(url, ca, pair, false)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(kubeconfigPath(user), config, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeAdminKubeconfigs writes the administrator's kubeconfig, for the node's own kubectl and for k3d, which copies it out of the node.
func (s *server) writeAdminKubeconfigs() error {
	config, err := kubeconfigFor(s.plane().url(), s.ids.cluster.CertFile(), s.ids.admin, true)
	if err != nil {
		return err
	}
	files := []string{AdminKubeconfig}
	if s.options.KubeconfigOutput != "" && s.options.KubeconfigOutput != AdminKubeconfig {
		files = append(files, s.options.KubeconfigOutput)
	}
	for _, file := range files {
		if err := writeKubeconfig(file, config, s.options.KubeconfigMode); err != nil {
			return err
		}
	}
	return nil
}

// run starts everything, in the order in which one needs the other, and returns when the node is up. What goes on after that runs in
// background.
func (s *server) run(ctx context.Context, background *sync.WaitGroup) error {
	plane, worker := s.plane(), s.worker()

	// The control plane and the container runtime do not need each other: start both.
	for _, p := range []program{plane.etcd(), plane.apiServer(), containerdProgram()} {
		if err := s.programs.start(p); err != nil {
			return err
		}
	}
	s.log.Info("Running kube-apiserver", "port", s.options.Port)
	// The kubelet may come before the API server is ready: what a node may do needs no role, and it asks again soon.
	kubeletUp := make(chan error, 1)
	go func() {
		err := startRuntime(ctx, s.log)
		if err == nil {
			err = waitPort(ctx, s.options.Port)
		}
		if err == nil {
			err = s.programs.start(worker.kubelet())
		}
		kubeletUp <- err
	}()

	config, err := restConfig(kubeconfigPath("supervisor"))
	if err != nil {
		return err
	}
	limited, cancel := limit(ctx)
	defer cancel()
	if err := waitReady(limited, config); err != nil {
		return fmt.Errorf("wait for kube-apiserver: %w: see %s", err, s.programs.logFile("kube-apiserver"))
	}
	// The others need the roles that the API server makes before it is ready; refused, they would wait for seconds.
	programs := []program{plane.controllerManager(), plane.scheduler()}
	if s.options.KubeProxy {
		programs = append(programs, worker.kubeProxy())
	}
	for _, p := range programs {
		if err := s.programs.start(p); err != nil {
			return err
		}
	}
	if err := s.writeAdminKubeconfigs(); err != nil {
		return err
	}
	if err := <-kubeletUp; err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	return s.serve(ctx, background, config, client)
}

// serve starts the server's own controllers and announces the node.
func (s *server) serve(ctx context.Context, background *sync.WaitGroup, config *rest.Config, client kubernetes.Interface) error {
	deployer, err := newDeployer(manifestDir, config, s.log)
	if err != nil {
		return err
	}
	if err := allowJoin(ctx, client, s.token, s.ids.cluster.PEM(), factsOf(s.options)); err != nil {
		return fmt.Errorf("prepare for agents: %w", err)
	}
	if s.options.PodNetwork {
		if err := masquerade(ctx, s.options.ClusterCIDR.String()); err != nil {
			return err
		}
		if err := keepServicesInside(ctx, s.options.ServiceCIDR.String()); err != nil {
			return err
		}
	}
	s.programs.control(ctx, background, "deploy manifests", deployer.run)
	s.programs.control(ctx, background, "approve agents", func(ctx context.Context) error {
		return approveAgents(ctx, client, s.log)
	})
	s.programs.control(ctx, background, "follow nodes", func(ctx context.Context) error {
		return watchNodes(ctx, client, s.log, s.followNodes(ctx, client))
	})
	if s.options.CoreDNS {
		// k3d waits for these words before it writes its host records into coredns.yaml.
		s.log.Info("Cluster dns configmap is in " + manifestDir + "/coredns.yaml")
	}
	s.log.Info("k3s is up and running")
	return nil
}

// followNodes keeps the pod network, and labels the server's own node once.
func (s *server) followNodes(ctx context.Context, client kubernetes.Interface) func([]*corev1.Node) error {
	network := podNetwork{self: s.options.NodeName, log: s.log}
	labelled := false
	return func(nodes []*corev1.Node) error {
		for _, n := range nodes {
			if n.Name == s.options.NodeName && !labelled {
				if err := labelServer(ctx, client, n.Name); err != nil {
					return err
				}
				labelled = true
				s.log.Info("Successfully registered node", "node", n.Name)
			}
		}
		if !s.options.PodNetwork {
			return nil
		}
		return network.update(nodes)
	}
}
