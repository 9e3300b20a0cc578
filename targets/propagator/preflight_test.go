package propagator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestPreflightTellsFaultsApart(t *testing.T) {
	t.Parallel()
	answers := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	for name, tc := range map[string]struct {
		url   string
		fault propagator.Fault
		want  string
	}{
		"bad token": {answers(func(w http.ResponseWriter, _ *http.Request) { fails(w, 401, "invalid key") }),
			propagator.FaultToken, "check CEDANA_AUTH_TOKEN"},
		"not found": {answers(func(w http.ResponseWriter, _ *http.Request) { fails(w, 404, "nothing here") }),
			propagator.FaultURL, "check CEDANA_URL"},
		"web page": {answers(func(w http.ResponseWriter, _ *http.Request) { page(w, 200, "Example Domain") }),
			propagator.FaultURL, `web page ("Example Domain")`},
		"sign-in page": {answers(func(w http.ResponseWriter, _ *http.Request) { page(w, 401, "Proxy sign-in") }),
			propagator.FaultURL, `web page ("Proxy sign-in")`},
		"other server": {answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
			propagator.FaultURL, "check CEDANA_URL"},
		"empty answer": {answers(func(http.ResponseWriter, *http.Request) {}),
			propagator.FaultURL, "empty answer"},
		"failing server": {answers(func(w http.ResponseWriter, _ *http.Request) { fails(w, 503, "database is down") }),
			propagator.FaultServer, "database is down"},
		"refused":      {"http://" + closedPort(t), propagator.FaultUnreachable, "connection refused"},
		"unknown host": {"http://no-such-host.invalid", propagator.FaultUnreachable, "CEDANA_URL"},
		"expired":      {expiredTLS(t), propagator.FaultTLS, "expired"},
		"unknown authority": {func() string {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return s.URL
		}(), propagator.FaultTLS, "SSL_CERT_FILE"},
		"no tls": {"https" + answers(func(w http.ResponseWriter, _ *http.Request) { text(w, id1) })[4:],
			propagator.FaultTLS, "http:// may be meant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := propagator.New(tc.url, settings.Secret(token))
			require.NoError(t, err)
			begin := time.Now()
			_, err = c.Preflight(t.Context())
			var fault *propagator.PreflightError
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, tc.fault, fault.Fault, "%v", err)
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), token)
			assert.Less(t, time.Since(begin), propagator.PreflightTimeout+time.Second)
		})
	}
}

func TestPreflightOfAServerThatSwallowsEverythingEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() // accepts by the kernel, never answers
	c, err := propagator.New("http://"+l.Addr().String(), settings.Secret(token))
	require.NoError(t, err)
	_, err = c.Preflight(t.Context())
	var fault *propagator.PreflightError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, propagator.FaultUnreachable, fault.Fault)
}

func TestPreflightWithoutATokenSaysSo(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fails(w, 401, "no key") })
	c, err := propagator.New(f.URL, "")
	require.NoError(t, err)
	_, err = c.Preflight(t.Context())
	require.ErrorContains(t, err, "set CEDANA_AUTH_TOKEN")
}

func TestPreflightSettlesTheVersion(t *testing.T) {
	t.Parallel()
	f := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/user":
			text(w, id1)
		case "/v1/cluster":
			text(w, "[]")
		default:
			page(w, 404, "Not Found")
		}
	})
	c, err := propagator.New(f.URL, settings.Secret(token))
	require.NoError(t, err)
	user, err := c.Preflight(t.Context())
	require.NoError(t, err)
	assert.Equal(t, id1, user)
	_, err = c.Clusters(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 3, f.calls.Load())
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func expiredTLS(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "expired"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}
