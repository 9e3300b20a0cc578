package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := OpenAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *Authority, spec Spec) (Pair, []byte) {
	t.Helper()
	pair, err := a.Issue("leaf", spec)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return pair, content
}

var serverSpec = Spec{
	CommonName: "kube-apiserver",
	DNSNames:   []string{"localhost", "node"},
	IPs:        []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
}

func TestARestartFindsTheSameAuthorityAndCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir)
	_, before := issue(t, first, serverSpec)
	second := open(t, dir)
	_, after := issue(t, second, serverSpec)
	if !bytes.Equal(first.PEM(), second.PEM()) {
		t.Error("the second start has another authority")
	}
	if !bytes.Equal(before, after) {
		t.Error("the second start has another certificate, though nothing changed")
	}
}

func TestACertificateIsSignedAnewWhenItNoLongerServes(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Authority, *Spec){
		"another address": func(_ *Authority, s *Spec) { s.IPs = []netip.Addr{netip.MustParseAddr("172.18.0.3")} },
		"one more name":   func(_ *Authority, s *Spec) { s.DNSNames = append([]string{"new.test"}, s.DNSNames...) },
		"another group":   func(_ *Authority, s *Spec) { s.Organization = []string{"system:masters"} },
		"another user":    func(_ *Authority, s *Spec) { s.CommonName = "other" },
		"another usage":   func(_ *Authority, s *Spec) { s.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
		"its end is near": func(a *Authority, _ *Spec) {
			a.now = func() time.Time { return time.Now().Add(leafLife - renewBefore + time.Hour) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, t.TempDir())
			_, before := issue(t, a, serverSpec)
			spec := serverSpec
			change(a, &spec)
			_, after := issue(t, a, spec)
			if bytes.Equal(before, after) {
				t.Error("the old certificate is still there")
			}
			_, again := issue(t, a, spec)
			if !bytes.Equal(after, again) {
				t.Error("and it is signed anew each time")
			}
		})
	}
}

func TestTheOrderOfNamesDoesNotMatter(t *testing.T) {
	t.Parallel()
	a := open(t, t.TempDir())
	_, before := issue(t, a, serverSpec)
	spec := serverSpec
	spec.DNSNames = []string{"node", "localhost"}
	if _, after := issue(t, a, spec); !bytes.Equal(before, after) {
		t.Error("signed anew")
	}
}

func TestCertificatesVerify(t *testing.T) {
	t.Parallel()
	a := open(t, t.TempDir())
	pair, _ := issue(t, a, serverSpec)
	loaded, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.PEM())
	for _, name := range []string{"node", "127.0.0.1"} {
		if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "stranger"}); err == nil {
		t.Error("verifies as a name that it does not have")
	}
	if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("a server's certificate verifies as a client's")
	}
	if !Serves(pair.Cert, loaded.Leaf.PublicKey.(*ecdsa.PublicKey)) {
		t.Error("a new certificate does not serve")
	}
}

func TestALostKeyIsNoReasonForAnotherAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := open(t, dir)
	if err := os.Remove(a.KeyFile()); err != nil {
		t.Fatal(err)
	}
	_, err := OpenAuthority(dir, "ca")
	if err == nil || !strings.Contains(err.Error(), "ca.key") {
		t.Errorf("want an error that names ca.key, got %v", err)
	}
}

func TestADamagedCertificateIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := open(t, dir)
	if err := os.WriteFile(a.CertFile(), []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir, "ca"); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "ca.crt")) {
		t.Errorf("want an error that names the file, got %v", err)
	}
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	a := open(t, t.TempDir())
	pair, _ := issue(t, a, serverSpec)
	for _, key := range []string{a.KeyFile(), pair.Key} {
		info, err := os.Stat(key)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", key, info.Mode())
		}
	}
}
