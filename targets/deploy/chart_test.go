package deploy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	helmregistry "helm.sh/helm/v3/pkg/registry"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestHelmChartIsAPathAVersionOrAnAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for given, want := range map[string]chartRef{
		"":                                {address: PublishedChart},
		"latest":                          {address: PublishedChart},
		"0.7.6":                           {address: PublishedChart, tag: "0.7.6"},
		"v0.7.6":                          {address: PublishedChart, tag: "0.7.6"},
		"0.7":                             {address: PublishedChart, version: "0.7"},
		"^0.7.0":                          {address: PublishedChart, version: "^0.7.0"},
		"oci://reg:5000/a/b":              {address: "oci://reg:5000/a/b"},
		"oci://reg:5000/a/b:1.2.3":        {address: "oci://reg:5000/a/b", tag: "1.2.3"},
		"oci://reg/a/b:alpha":             {address: "oci://reg/a/b", tag: "alpha"},
		"oci://reg/a/b@sha256:0123456789": {address: "oci://reg/a/b@sha256:0123456789"},
		"https://host/c-1.0.0.tgz":        {address: "https://host/c-1.0.0.tgz"},
		dir:                               {path: dir},
	} {
		got, err := resolveChart(given, nil)
		require.NoError(t, err, given)
		require.Equal(t, want, got, given)
	}
	builtin := fstest.MapFS{}
	got, err := resolveChart("", builtin)
	require.NoError(t, err)
	require.Equal(t, chartRef{files: builtin}, got)
	got, err = resolveChart(dir, builtin)
	require.NoError(t, err)
	require.Equal(t, chartRef{path: dir}, got, "HELM_CHART wins over the chart built in")
}

func TestAHelmChartThatIsNothingIsAProblemOfTheVariable(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"./no/such/chart", "chart.tgz", "ftp://host/x"} {
		_, err := resolveChart(given, nil)
		var problems settings.Problems
		require.ErrorAs(t, err, &problems, given)
		require.Equal(t, "HELM_CHART", problems[0].Name)
	}
}

// writeChart makes a small chart on disk, as a directory and as an archive.
func writeChart(t *testing.T, version string) (dir, archive string) {
	t.Helper()
	c := testChart(version)
	base := t.TempDir()
	require.NoError(t, chartutil.SaveDir(c, base))
	archive, err := chartutil.Save(c, base)
	require.NoError(t, err)
	return filepath.Join(base, c.Name()), archive
}

func testChart(version string) *chart.Chart {
	return &chart.Chart{
		Metadata: &chart.Metadata{APIVersion: "v2", Name: "cedana-helm", Version: version},
		Values:   map[string]any{"config": map[string]any{"checkpointDir": "/tmp"}},
		Raw:      []*chart.File{{Name: "values.yaml", Data: []byte("config:\n  checkpointDir: /tmp\n")}},
		Templates: []*chart.File{{Name: "templates/config.yaml", Data: []byte(`apiVersion: v1
kind: ConfigMap
metadata:
  name: cedana-config
data:
  dir: {{ .Values.config.checkpointDir | quote }}
`)}},
	}
}

func TestAChartIsReadFromADirectoryAnArchiveAndAWebServer(t *testing.T) {
	t.Parallel()
	dir, archive := writeChart(t, "1.2.3")
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(archive))))
	t.Cleanup(server.Close)
	for _, ref := range []chartRef{{files: os.DirFS(dir)}, {path: dir}, {path: archive}, {address: server.URL + "/" + filepath.Base(archive)}} {
		c, err := loadChart(t.Context(), ref, Options{})
		require.NoError(t, err, ref)
		require.Equal(t, "1.2.3", c.Metadata.Version)
	}
	_, err := loadChart(t.Context(), chartRef{address: server.URL + "/other.tgz"}, Options{})
	require.ErrorContains(t, err, "other.tgz")
	require.ErrorContains(t, err, "404")
}

// ociRegistry serves charts over TLS, asking for a password if one is given.
func ociRegistry(t *testing.T, user, password string) (address string, config *tls.Config) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); password != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return strings.TrimPrefix(server.URL, "https://"), &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

func push(t *testing.T, address string, opts Options, versions ...string) (digest string) {
	t.Helper()
	client, err := registryClient(context.WithoutCancel(t.Context()), opts)
	require.NoError(t, err)
	for _, version := range versions {
		_, archive := writeChart(t, version)
		data, err := os.ReadFile(archive)
		require.NoError(t, err)
		pushed, err := client.Push(data, address+"/cedana/cedana-helm:"+version, helmregistry.PushOptStrictMode(false))
		require.NoError(t, err)
		digest = pushed.Manifest.Digest
	}
	return digest
}

func TestAChartIsPulledByTagDigestVersionAndLatest(t *testing.T) {
	t.Parallel()
	host, trust := ociRegistry(t, "", "")
	opts := Options{RegistryTLS: trust}
	address := "oci://" + host + "/cedana/cedana-helm"
	digest := push(t, host, opts, "0.6.0", "0.7.5", "0.7.6")
	for want, ref := range map[string][]chartRef{
		"0.6.0": {{address: address, tag: "0.6.0"}, {address: address, version: "~0.6"}},
		"0.7.6": {{address: address}, {address: address, version: "0.7"}, {address: address + "@" + digest}},
	} {
		for _, r := range ref {
			c, err := loadChart(t.Context(), r, opts)
			require.NoError(t, err, r)
			require.Equal(t, want, c.Metadata.Version, r)
		}
	}
	_, err := loadChart(t.Context(), chartRef{address: address, tag: "9.9.9"}, opts)
	require.ErrorContains(t, err, address+":9.9.9")
	require.ErrorContains(t, err, "not this version of it; the newest are 0.7.6, 0.7.5, 0.6.0")
	for _, ref := range []chartRef{{address: address + "-missing", tag: "1.0.0"}, {address: address + "-missing"}} {
		_, err = loadChart(t.Context(), ref, opts)
		require.ErrorContains(t, err, "the registry has no such chart: check HELM_CHART", "%s", ref)
	}
	_, err = loadChart(t.Context(), chartRef{address: address, version: "9"}, opts)
	require.ErrorContains(t, err, "version 9 is not there; the newest are 0.7.6, 0.7.5, 0.6.0")
}

func TestAPrivateRegistryNeedsItsPassword(t *testing.T) {
	t.Parallel()
	host, trust := ociRegistry(t, "user", "secret-password")
	known := Options{RegistryTLS: trust, RegistryUser: "user", RegistryPassword: "secret-password"}
	push(t, host, known, "0.7.6")
	ref := chartRef{address: "oci://" + host + "/cedana/cedana-helm", tag: "0.7.6"}
	_, err := loadChart(t.Context(), ref, known)
	require.NoError(t, err)

	_, err = loadChart(t.Context(), ref, Options{RegistryTLS: trust, RegistryUser: "user", RegistryPassword: "wrong-password"})
	require.ErrorContains(t, err, "the registry refuses the login")
	require.ErrorContains(t, err, "401")
	require.NotContains(t, err.Error(), "wrong-password")
}

func TestARegistrysLoginIsReadFromAFile(t *testing.T) {
	t.Parallel()
	host, trust := ociRegistry(t, "user", "secret-password")
	push(t, host, Options{RegistryTLS: trust, RegistryUser: "user", RegistryPassword: "secret-password"}, "0.7.6")
	ref := chartRef{address: "oci://" + host + "/cedana/cedana-helm", tag: "0.7.6"}
	file := filepath.Join(t.TempDir(), "logins.json")
	login := base64.StdEncoding.EncodeToString([]byte("user:secret-password"))
	require.NoError(t, os.WriteFile(file, []byte(`{"auths":{"`+host+`":{"auth":"`+login+`"}}}`), 0o600))
	_, err := loadChart(t.Context(), ref, Options{RegistryTLS: trust}.withDefaults(&settings.Deploy{RegistryConfig: file}))
	require.NoError(t, err)
	_, err = loadChart(t.Context(), ref, Options{RegistryTLS: trust, RegistryConfig: filepath.Join(t.TempDir(), "none.json")})
	require.Error(t, err)
}

func TestARegistryThatDoesNotAnswerDoesNotHoldUpACancelledRun(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := loadChart(ctx, chartRef{address: "oci://" + strings.TrimPrefix(server.URL, "https://") + "/a/b", tag: "1.0.0"},
		Options{RegistryTLS: &tls.Config{RootCAs: roots}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 5*time.Second)
}

func TestALibraryChartAndABadKeyAreRefusedBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	dir, _ := writeChart(t, "1.0.0")
	s := testSettings(t)
	s.HelmChart = dir
	_, err := Run(t.Context(), quiet(), s, Options{Token: canary})
	require.ErrorContains(t, err, "config.metrics (from charts-values/base.yaml)")
	require.NotContains(t, err.Error(), canary)

	library, err := loader.LoadDir(dir)
	require.NoError(t, err)
	library.Metadata.Type = "library"
	base := t.TempDir()
	require.NoError(t, chartutil.SaveDir(library, base))
	s.HelmChart = filepath.Join(base, library.Name())
	_, err = Run(t.Context(), quiet(), s, Options{})
	require.ErrorContains(t, err, "cannot be installed")
}
