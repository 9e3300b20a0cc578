package supervisor

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/cedana/cedana-e2e/node/kubernetes/options"
	"github.com/cedana/cedana-e2e/node/kubernetes/pki"
)

func testServer(t *testing.T, args ...string) *server {
	t.Helper()
	o, err := options.Parse(options.Server, args, func(string) string { return "" }, "server-0")
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("172.18.0.2")
	ids, err := openIdentities(t.TempDir(), o, ip)
	if err != nil {
		t.Fatal(err)
	}
	return &server{options: o, ip: ip, ids: ids, host: host{resolvConf: "/etc/resolv.conf"}}
}

func certificate(t *testing.T, pair pki.Pair) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestEachClientIsSomebodyOfItsOwn(t *testing.T) {
	t.Parallel()
	ids := testServer(t).ids
	for _, c := range []struct {
		pair   pki.Pair
		user   string
		groups []string
	}{
		{ids.admin, "system:admin", []string{"system:masters"}},
		{ids.controllerManager, "system:kube-controller-manager", nil},
		{ids.scheduler, "system:kube-scheduler", nil},
		{ids.kubeProxy, "system:kube-proxy", nil},
		{ids.kubelet, "system:node:server-0", []string{"system:nodes"}},
		{ids.apiServerToKubelet, kubeletClientUser, nil},
		{ids.frontProxyClient, "front-proxy-client", nil},
	} {
		subject := certificate(t, c.pair).Subject
		if subject.CommonName != c.user || !slices.Equal(subject.Organization, c.groups) {
			t.Errorf("got %s, want %s of %v", subject, c.user, c.groups)
		}
	}
}

func TestTheAPIServerAnswersToAllItsNames(t *testing.T) {
	t.Parallel()
	s := testServer(t, "--tls-san=127.0.0.1,k3d-e2e-serverlb", "--tls-san=203.0.113.7", "--advertise-address=172.18.0.9")
	cert := certificate(t, s.ids.apiServer)
	for _, name := range []string{
		"localhost", "127.0.0.1", "server-0", "172.18.0.2", "172.18.0.9", "k3d-e2e-serverlb", "203.0.113.7",
		"10.43.0.1", "kubernetes", "kubernetes.default.svc.cluster.local",
	} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

func TestOurArgumentsComeFirstSoThatTheUsersWin(t *testing.T) {
	t.Parallel()
	s := testServer(t, "--kube-apiserver-arg=profiling=true", "--kube-controller-manager-arg=v=5", "--kube-scheduler-arg=v=6",
		"--etcd-arg=log-level=debug", "--kubelet-arg=v=7", "--kube-proxy-arg=v=8")
	for want, p := range map[string]program{
		"--profiling=true":  s.plane().apiServer(),
		"--v=5":             s.plane().controllerManager(),
		"--v=6":             s.plane().scheduler(),
		"--log-level=debug": s.plane().etcd(),
		"--v=7":             s.worker().kubelet(),
		"--v=8":             s.worker().kubeProxy(),
	} {
		if last := p.args[len(p.args)-1]; last != want {
			t.Errorf("%s: last argument is %s, want %s", p.name, last, want)
		}
	}
}

func TestLabelsAndTaintsReachTheKubelet(t *testing.T) {
	t.Parallel()
	args := strings.Join(testServer(t, "--node-label=a=b", "--node-label=c=d", "--node-taint=e=f:NoSchedule").worker().kubelet().args, " ")
	for _, want := range []string{"a=b,c=d", "--register-with-taints=e=f:NoSchedule", "--node-ip=172.18.0.2", "--hostname-override=server-0"} {
		if !strings.Contains(args, want) {
			t.Errorf("no %s in %s", want, args)
		}
	}
}

func TestTheKubeletAsksForNoMoreThanTheHostGives(t *testing.T) {
	t.Parallel()
	read := func(w worker) (c kubeletv1beta1.KubeletConfiguration) {
		content, err := w.kubeletConfig()
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(content, &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	w := testServer(t).worker()
	if c := read(w); c.OOMScoreAdj == nil || *c.OOMScoreAdj != 0 {
		t.Errorf("without the capability the kubelet's OOM score is %v, want 0", c.OOMScoreAdj)
	}
	if !slices.Contains(w.kubeProxy().args, "--oom-score-adj=0") {
		t.Error("without the capability kube-proxy sets its OOM score")
	}
	w.host.adjustOOM = true
	c := read(w)
	if c.OOMScoreAdj != nil {
		t.Errorf("with the capability the OOM score is %d, want Kubernetes' own", *c.OOMScoreAdj)
	}
	if c.TLSCertFile == "" || c.ServerTLSBootstrap {
		t.Error("a server's kubelet has a certificate and asks for none")
	}
	w.kubeletServer = pki.Pair{}
	if c := read(w); c.TLSCertFile != "" || !c.ServerTLSBootstrap {
		t.Error("an agent's kubelet has no certificate and asks for one")
	}
}
