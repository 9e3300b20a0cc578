// Package livetest has what a live run meets, for tests, in one process and speaking the real protocols: servers behind
// TLS of a private certificate authority, and an OCI registry with charts in it.
package livetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	helmregistry "helm.sh/helm/v3/pkg/registry"

	standin "github.com/cedana/cedana-e2e/targets/local/chart"
)

// Authority signs certificates that nobody else trusts.
type Authority struct {
	// PEM is its certificate, for SSL_CERT_FILE.
	PEM  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one. It takes no test, because SSL_CERT_FILE has to be set before a process's first use of TLS.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cedana-e2e test authority"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{PEM: encode("CERTIFICATE", der), cert: cert, key: key}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Issue gives a server's certificate and key, as PEM.
func (a *Authority) Issue(t testing.TB, until time.Time, addresses ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: addresses[0]},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, address := range addresses {
		if ip := net.ParseIP(address); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, address)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", encoded)
}

// Trust is for a client that is to know the authority.
func (a *Authority) Trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots}
}

// Serve gives the address (https://127.0.0.1:PORT) of a server with a certificate that ends then.
func (a *Authority) Serve(t testing.TB, until time.Time, handler http.Handler) string {
	t.Helper()
	pair, err := tls.X509KeyPair(a.Issue(t, until, "127.0.0.1", "localhost"))
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	// Handshakes that fail are what some tests are about.
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// RefusingRegistration is a propagator whose token may not register clusters: it answers with the code.
func RefusingRegistration(propagator http.Handler, code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && (r.URL.Path == "/v2/cluster" || r.URL.Path == "/v1/cluster") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"message":"this token may not register clusters"}`)
			return
		}
		propagator.ServeHTTP(w, r)
	})
}

// Registry is an OCI registry.
type Registry struct {
	// Host is HOST:PORT, User and Password the login that it wants, if any.
	Host           string
	User, Password string
	authority      *Authority
}

// Registry starts one. Without a user it lets everybody in.
func (a *Authority) Registry(t testing.TB, user, password string) *Registry {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	url := a.Serve(t, time.Now().Add(time.Hour), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); user != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="charts"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	return &Registry{Host: strings.TrimPrefix(url, "https://"), User: user, Password: password, authority: a}
}

// Push puts a chart into the registry as charts/NAME:VERSION, and gives its address without the tag, and its digest.
func (r *Registry) Push(t testing.TB, c *chart.Chart) (address, digest string) {
	t.Helper()
	archive, err := chartutil.Save(c, t.TempDir())
	require.NoError(t, err)
	data, err := os.ReadFile(archive)
	require.NoError(t, err)
	options := []helmregistry.ClientOption{helmregistry.ClientOptHTTPClient(&http.Client{
		Transport: &http.Transport{TLSClientConfig: r.authority.Trust()},
	})}
	if r.User != "" {
		options = append(options, helmregistry.ClientOptBasicAuth(r.User, r.Password))
	}
	client, err := helmregistry.NewClient(options...)
	require.NoError(t, err)
	name := r.Host + "/charts/" + c.Name()
	pushed, err := client.Push(data, name+":"+c.Metadata.Version)
	require.NoError(t, err)
	return "oci://" + name, pushed.Manifest.Digest
}

// StandInChart is the stand-in's chart, with images of its own as Cedana's has them.
func StandInChart(t testing.TB, repository, tag string) *chart.Chart {
	t.Helper()
	var files []*loader.BufferedFile
	require.NoError(t, fs.WalkDir(standin.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := standin.Files.ReadFile(path)
		if path == "values.yaml" {
			text := strings.ReplaceAll(string(data), "repository: cedana-e2e.local/cedana", "repository: "+repository)
			data = []byte(strings.ReplaceAll(text, `      tag: ""`, "      tag: "+tag))
			data = []byte(strings.ReplaceAll(string(data), `    tag: ""`, "    tag: "+tag))
		}
		files = append(files, &loader.BufferedFile{Name: path, Data: data})
		return err
	}))
	c, err := loader.LoadFiles(files)
	require.NoError(t, err)
	return c
}
