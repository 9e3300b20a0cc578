package options

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestServerUnderstandsWhatK3dPasses(t *testing.T) {
	t.Parallel()
	o, err := Parse(Server, []string{
		"--tls-san", "0.0.0.0", "--tls-san=k3d-e2e-serverlb,example.test",
		"--disable=traefik,metrics-server", "--disable", "servicelb",
		"--node-label", "e2e.cedana.ai/run=1", "--node-taint=a=b:NoSchedule",
		"--kubelet-arg=eviction-hard=imagefs.available<1%,nodefs.available<1%",
		"--kube-apiserver-arg", "v=4", "--kube-apiserver-arg=--profiling=true",
		"--disable-network-policy", "--cluster-init", "--write-kubeconfig-mode", "644",
	}, env("K3S_TOKEN", "secret", "K3S_KUBECONFIG_OUTPUT", "/output/kubeconfig.yaml"), "K3D-e2e-server-0")
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("node name is the host name, as Kubernetes spells it", o.NodeName, "k3d-e2e-server-0")
	check("names", strings.Join(o.TLSSANs, " "), "0.0.0.0 k3d-e2e-serverlb example.test")
	check("label", strings.Join(o.NodeLabels, " "), "e2e.cedana.ai/run=1")
	check("taint", strings.Join(o.NodeTaints, " "), "a=b:NoSchedule")
	check("kubelet argument, commas kept", strings.Join(o.KubeletArgs, " "), "--eviction-hard=imagefs.available<1%,nodefs.available<1%")
	check("API server arguments, dashes or not", strings.Join(o.APIServerArgs, " "), "--v=4 --profiling=true")
	check("token", o.Token, "secret")
	check("kubeconfig", o.KubeconfigOutput, "/output/kubeconfig.yaml")
	check("kubeconfig's mode", o.KubeconfigMode, os.FileMode(0o644))
	check("CoreDNS", o.CoreDNS, true)
	check("pod addresses", o.ClusterCIDR, netip.MustParsePrefix("10.42.0.0/16"))
	check("DNS address, the tenth", o.ClusterDNS, netip.MustParseAddr("10.43.0.10"))
	check("pod network", o.PodNetwork, true)
	check("kube-proxy", o.KubeProxy, true)
}

func TestServiceAddressesMoveTheDNSAddress(t *testing.T) {
	t.Parallel()
	o, err := Parse(Server, []string{"--service-cidr=10.96.0.0/12"}, env(), "n")
	if err != nil {
		t.Fatal(err)
	}
	if want := netip.MustParseAddr("10.96.0.10"); o.ClusterDNS != want {
		t.Errorf("cluster DNS is %s, want %s", o.ClusterDNS, want)
	}
}

func TestAComponentOrNetworkCanBeLeftOut(t *testing.T) {
	t.Parallel()
	o, err := Parse(Server, []string{"--disable=coredns", "--flannel-backend=none", "--disable-kube-proxy"}, env(), "n")
	if err != nil {
		t.Fatal(err)
	}
	if o.CoreDNS || o.PodNetwork || o.KubeProxy {
		t.Errorf("still on: CoreDNS %t, pod network %t, kube-proxy %t", o.CoreDNS, o.PodNetwork, o.KubeProxy)
	}
}

func TestAgentJoinsByEnvironment(t *testing.T) {
	t.Parallel()
	o, err := Parse(Agent, []string{"--node-label=a=b"}, env("K3S_URL", "https://k3d-e2e-server-0:6443/", "K3S_TOKEN", "secret"), "agent")
	if err != nil {
		t.Fatal(err)
	}
	if o.ServerURL != "https://k3d-e2e-server-0:6443" || o.Token != "secret" || !slices.Equal(o.NodeLabels, []string{"a=b"}) {
		t.Errorf("got server %q, token %q, labels %v", o.ServerURL, o.Token, o.NodeLabels)
	}
}

func TestAFlagWinsOverItsVariable(t *testing.T) {
	t.Parallel()
	o, err := Parse(Agent, []string{"--server=https://b:6443", "-t", "two"}, env("K3S_URL", "https://a:6443", "K3S_TOKEN", "one"), "agent")
	if err != nil {
		t.Fatal(err)
	}
	if o.ServerURL != "https://b:6443" || o.Token != "two" {
		t.Errorf("got server %q, token %q", o.ServerURL, o.Token)
	}
}

func TestTokenFromAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := Parse(Server, nil, env("K3S_TOKEN_FILE", file), "n")
	if err != nil {
		t.Fatal(err)
	}
	if o.Token != "from file" {
		t.Errorf("token is %q", o.Token)
	}
}

func TestWhatCannotBeHonouredIsRefusedByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		role Role
		args []string
		env  func(string) string
		want string
	}{
		"unknown flag":              {Server, []string{"--nonsense=1"}, env(), "--nonsense"},
		"k3s flag without a part":   {Server, []string{"--datastore-endpoint=mysql://x"}, env(), "--datastore-endpoint is not supported"},
		"k3s switch without a part": {Server, []string{"--docker"}, env(), "--docker is not supported"},
		"k3s variable":              {Server, nil, env("K3S_DATASTORE_ENDPOINT", "mysql://x"), "K3S_DATASTORE_ENDPOINT is not supported"},
		"flannel backend":           {Server, []string{"--flannel-backend=vxlan"}, env(), "--flannel-backend=vxlan"},
		"unknown component":         {Server, []string{"--disable=nothing"}, env(), "--disable=nothing"},
		"second server":             {Server, nil, env("K3S_URL", "https://a:6443"), "a second server is not supported"},
		"positional argument":       {Server, []string{"extra"}, env(), `"extra"`},
		"server flag on an agent":   {Agent, []string{"--tls-san=x", "--server=https://a:6443", "--token=t"}, env(), "--tls-san"},
		"agent without server":      {Agent, nil, env("K3S_TOKEN", "t"), "K3S_URL"},
		"agent without token":       {Agent, nil, env("K3S_URL", "https://a:6443"), "K3S_TOKEN"},
		"server without TLS":        {Agent, nil, env("K3S_URL", "http://a:6443", "K3S_TOKEN", "t"), "https://HOST:6443"},
		"bad range":                 {Server, []string{"--cluster-cidr=10.42.0.0"}, env(), "--cluster-cidr"},
		"ranges that overlap":       {Server, []string{"--service-cidr=10.42.8.0/24"}, env(), "overlap"},
		"DNS outside its range":     {Server, []string{"--cluster-dns=10.0.0.1"}, env(), "--cluster-dns"},
		"bad mode":                  {Server, []string{"--write-kubeconfig-mode=rw"}, env(), "--write-kubeconfig-mode"},
		"snapshotter":               {Server, []string{"--snapshotter=zfs"}, env(), "--snapshotter=zfs"},
		"argument without a name":   {Server, []string{"--kubelet-arg==x"}, env(), "--kubelet-arg"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(c.role, c.args, c.env, "n")
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error does not name %q: %v", c.want, err)
			}
		})
	}
}

func TestTheTokenIsNotInErrors(t *testing.T) {
	t.Parallel()
	_, err := Parse(Agent, []string{"--nonsense"}, env("K3S_TOKEN", "hush", "K3S_URL", "https://a:6443"), "n")
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}
