package supervisor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
)

func TestAnyTokenMakesABootstrapToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"Y7dkOWdepsBFucrvTXLM", "", "K10abc::server:def", "ünïcode"} {
		derived := deriveToken(token)
		if !bootstraputil.IsValidBootstrapToken(derived.bearer()) {
			t.Errorf("%q: %s is no bootstrap token", token, derived.bearer())
		}
		if derived != deriveToken(token) {
			t.Errorf("%q: derived differently the second time", token)
		}
	}
	if deriveToken("a") == deriveToken("b") {
		t.Error("two tokens derive the same")
	}
}

func TestAServerKeepsItsToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server", "token")
	made, err := serverToken("", file)
	if err != nil || len(made) < 16 {
		t.Fatalf("made %q, %v", made, err)
	}
	for given, want := range map[string]string{"": made} {
		if got, err := serverToken(given, file); err != nil || got != want {
			t.Errorf("second start: %q, %v; want %q", got, err, want)
		}
	}
	if got, err := serverToken("given", file); err != nil || got != "given" || content(file) != "given\n" {
		t.Errorf("given: %q, %v; kept %q", got, err, content(file))
	}
}

func TestAnAgentTrustsOnlyWhatItsTokenSigned(t *testing.T) {
	t.Parallel()
	token := deriveToken("secret")
	info, err := clusterInfo(token, []byte("the authority"))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range info {
		if strings.Contains(value, token.secret) {
			t.Error("the public information holds the token's secret")
		}
	}
	got, err := authorityFrom(info, token)
	if err != nil || string(got) != "the authority" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := authorityFrom(info, deriveToken("other")); err == nil || !strings.Contains(err.Error(), "K3S_TOKEN") {
		t.Errorf("another token: got %v, want an error that names K3S_TOKEN", err)
	}
	forged, err := clusterInfo(bootstrapToken{id: token.id, secret: "0123456789abcdef"}, []byte("an impostor"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authorityFrom(forged, token); err == nil {
		t.Error("an impostor with the token's public part is trusted")
	}
	if _, err := authorityFrom(nil, token); err == nil {
		t.Error("nothing at all is trusted")
	}
}

// request is what a kubelet asks for.
type request struct {
	user    string
	groups  []string
	signer  string
	subject pkix.Name
	dns     []string
	ips     []string
	uris    bool
	usages  []certificatesv1.KeyUsage
}

func (r request) csr(t *testing.T) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{Subject: r.subject, DNSNames: r.dns}
	if r.uris {
		template.EmailAddresses = []string{"a@example.test"}
	}
	for _, ip := range r.ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		SignerName: r.signer, Username: r.user, Groups: r.groups, Usages: r.usages,
	}}
}

func nodeByName(name string) (*corev1.Node, error) {
	if name != "agent-0" {
		return nil, fmt.Errorf("no node %s", name)
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: "172.18.0.4"}, {Type: corev1.NodeHostName, Address: "agent-0"},
		}},
	}, nil
}

func TestWhichCertificatesANodeGets(t *testing.T) {
	t.Parallel()
	serving := func(change func(*request)) request {
		r := request{
			user: "system:node:agent-0", groups: []string{"system:nodes", "system:authenticated"}, signer: certificatesv1.KubeletServingSignerName,
			subject: pkix.Name{CommonName: "system:node:agent-0", Organization: []string{"system:nodes"}},
			dns:     []string{"agent-0"}, ips: []string{"172.18.0.4"},
		}
		change(&r)
		return r
	}
	proxy := func(change func(*request)) request {
		r := request{
			user: "system:bootstrap:abcdef", groups: []string{agentsGroup}, signer: certificatesv1.KubeAPIServerClientSignerName,
			subject: pkix.Name{CommonName: "system:kube-proxy"},
			usages:  []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		}
		change(&r)
		return r
	}
	const granted, refused, notOurs = "granted", "refused", "not ours"
	for name, c := range map[string]struct {
		request request
		want    string
	}{
		"serving, its own names":              {serving(func(*request) {}), granted},
		"serving, another node's name":        {serving(func(r *request) { r.dns = []string{"server-0"} }), refused},
		"serving, another node's address":     {serving(func(r *request) { r.ips = []string{"172.18.0.2"} }), refused},
		"serving, another node's subject":     {serving(func(r *request) { r.subject.CommonName = "system:node:server-0" }), refused},
		"serving, a further group":            {serving(func(r *request) { r.subject.Organization = []string{"system:nodes", "system:masters"} }), refused},
		"serving, by somebody who is no node": {serving(func(r *request) { r.user, r.groups = "system:bootstrap:abcdef", []string{agentsGroup} }), refused},
		"serving, by a node not in the cluster": {serving(func(r *request) {
			r.user, r.subject.CommonName = "system:node:gone", "system:node:gone"
		}), refused},
		"serving, more than names":      {serving(func(r *request) { r.uris = true }), refused},
		"kube-proxy":                    {proxy(func(*request) {}), granted},
		"kube-proxy, as administrator":  {proxy(func(r *request) { r.subject.Organization = []string{"system:masters"} }), refused},
		"another user":                  {proxy(func(r *request) { r.subject.CommonName = "system:admin" }), refused},
		"kube-proxy, as a server":       {proxy(func(r *request) { r.usages = append(r.usages, certificatesv1.UsageServerAuth) }), refused},
		"by somebody without the token": {proxy(func(r *request) { r.groups = []string{"system:authenticated"} }), notOurs},
		"a signer that decides itself":  {proxy(func(r *request) { r.signer = certificatesv1.KubeAPIServerClientKubeletSignerName }), notOurs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := judge(c.request.csr(t), nodeByName)
			got := refused
			switch {
			case err == nil:
				got = granted
			case errors.Is(err, errNotOurs):
				got = notOurs
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}
