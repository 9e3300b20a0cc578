package targets

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/local/livetest"
	"github.com/cedana/cedana-e2e/targets/local/standin/server"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// canary is the token, password its like for the registry: nothing that a run says or writes may have them.
const (
	canary   = "canary-token-5d1f7a"
	password = "canary-password-9c2e"
)

var authority *livetest.Authority

// TestMain makes this process trust the authority of the tests' servers, as a user with a private one does.
func TestMain(m *testing.M) { os.Exit(prepared(m)) }

func prepared(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cedana-e2e-test-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		authority, err = livetest.NewAuthority()
	}
	file := filepath.Join(dir, "ca.crt")
	if err == nil {
		err = os.WriteFile(file, authority.PEM, 0o600)
	}
	if err == nil {
		err = os.Setenv("SSL_CERT_FILE", file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a certificate authority:", err)
		return 1
	}
	return m.Run()
}

// What cannot work ends at once, says why, and has made nothing: no directory, no word with the Docker engine, no
// cluster at the propagator. The rows run one after the other, because the environment is the process's.
func TestARunThatCannotWorkEndsBeforeAnythingIsCreated(t *testing.T) {
	valid := time.Now().Add(time.Hour)
	standIn, err := server.Open(server.Config{Dir: t.TempDir(), Token: canary})
	require.NoError(t, err)
	t.Cleanup(func() { standIn.Stop(); require.NoError(t, standIn.Close()) })
	good := authority.Serve(t, valid, standIn.Handler())
	expired := authority.Serve(t, time.Now().Add(-time.Hour), standIn.Handler())
	page := authority.Serve(t, valid, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Example Domain</title>")
	}))
	open := authority.Registry(t, "", "")
	chart, _ := open.Push(t, livetest.StandInChart(t, "registry.example/cedana", "1"))
	locked := authority.Registry(t, "robot", "the right one")
	lockedChart, _ := locked.Push(t, livetest.StandInChart(t, "registry.example/cedana", "1"))
	misspelt := filepath.Join(t.TempDir(), "mine.yaml")
	require.NoError(t, os.WriteFile(misspelt, []byte("config:\n  checkpointdir: /mnt\n"), 0o600))

	for _, row := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"bad token", map[string]string{"CEDANA_AUTH_TOKEN": canary + "-of-another"}, []string{"401", "check CEDANA_AUTH_TOKEN"}},
		{"expired certificate", map[string]string{"CEDANA_URL": expired}, []string{"expired", "clock"}},
		{"address of a web page", map[string]string{"CEDANA_URL": page}, []string{`web page ("Example Domain")`, "check CEDANA_URL"}},
		{"chart not found", map[string]string{"HELM_CHART": chart + "-of-another:1.0.0"}, []string{"no such chart", "check HELM_CHART"}},
		{"chart version not found", map[string]string{"HELM_CHART": chart + ":99.9.9"}, []string{"not this version", "newest are"}},
		{"unknown value key", map[string]string{"HELM_VALUES": misspelt}, []string{"config.checkpointdir (from " + misspelt, "did you mean config.checkpointDir?"}},
		{"registry login refused", map[string]string{
			"HELM_CHART": lockedChart, "HELM_REGISTRY_USERNAME": "robot", "HELM_REGISTRY_PASSWORD": password,
		}, []string{"refuses the login", "helm registry login"}},
		{"no registry login", map[string]string{"HELM_CHART": lockedChart}, []string{"refuses the login", "HELM_REGISTRY_USERNAME"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			engine, calls := countingEngine(t)
			home := filepath.Join(t.TempDir(), "home")
			artifacts := filepath.Join(t.TempDir(), "artifacts")
			for name, value := range map[string]string{
				"CEDANA_AUTH_TOKEN": canary, "CEDANA_URL": good, "HELM_CHART": chart, "HELM_VALUES": "", "E2E_BACKEND": "live",
				"HELM_CONFIG_HOME": t.TempDir(), "DOCKER_CONFIG": t.TempDir(), "HELM_REGISTRY_USERNAME": "", "HELM_REGISTRY_PASSWORD": "",
				"DOCKER_HOST": engine, "E2E_ENGINE": "system", "E2E_HOME": home, "E2E_ARTIFACTS": artifacts, "CLUSTER_NAME": "", "CLUSTER_ID": "",
			} {
				t.Setenv(name, value)
			}
			for name, value := range row.env {
				t.Setenv(name, value)
			}
			said := captured(t)
			begin := time.Now()
			err := E2E(t.Context())
			took := time.Since(begin)

			require.Error(t, err)
			for _, want := range row.want {
				require.ErrorContains(t, err, want)
			}
			require.Less(t, took, 10*time.Second)
			require.NoDirExists(t, home)
			require.NoDirExists(t, artifacts)
			require.Zero(t, calls.Load(), "the Docker engine was spoken to")
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), said()} {
				require.NotContains(t, text, canary)
				require.NotContains(t, text, password)
			}
		})
	}
	api, err := propagator.New(good, settings.Secret(canary))
	require.NoError(t, err)
	clusters, err := api.Clusters(t.Context())
	require.NoError(t, err)
	require.Empty(t, clusters, "a cluster was registered")
}

// The control of the rows above: with nothing wrong the preflight lets a run through.
func TestTheRightLoginPassesThePreflight(t *testing.T) {
	standIn, err := server.Open(server.Config{Dir: t.TempDir(), Token: canary})
	require.NoError(t, err)
	t.Cleanup(func() { standIn.Stop(); require.NoError(t, standIn.Close()) })
	locked := authority.Registry(t, "robot", password)
	address, digest := locked.Push(t, livetest.StandInChart(t, "registry.example/cedana", "1"))
	for _, ref := range []string{address, address + "@" + digest} {
		for name, value := range map[string]string{
			"CEDANA_AUTH_TOKEN": canary, "CEDANA_URL": authority.Serve(t, time.Now().Add(time.Hour), standIn.Handler()), "HELM_CHART": ref,
			"HELM_REGISTRY_USERNAME": "robot", "HELM_REGISTRY_PASSWORD": password, "E2E_BACKEND": "live", "E2E_HOME": t.TempDir(), "HELM_VALUES": "",
		} {
			t.Setenv(name, value)
		}
		said := captured(t)
		r, err := begin()
		require.NoError(t, err)
		given, err := r.check(t.Context())
		require.NoError(t, err)
		require.NotNil(t, given.propagator)
		require.NotNil(t, given.chart)
		text := said()
		require.Contains(t, text, "user ")
		require.NotContains(t, text, canary)
		require.NotContains(t, text, password)
		require.NotContains(t, fmt.Sprintf("%+v %#v", *r.settings, *r.settings), "canary")
	}
}

// Where there is no cluster and no right to register one, nothing is made: no engine is spoken to, and what is left is a
// suite without a cluster. `deploy` has nothing left to do, and says so.
func TestWithoutTheRightToRegisterACluster(t *testing.T) {
	standIn, err := server.Open(server.Config{Dir: t.TempDir(), Token: canary})
	require.NoError(t, err)
	t.Cleanup(func() { standIn.Stop(); require.NoError(t, standIn.Close()) })
	for _, code := range []int{http.StatusForbidden, http.StatusUnauthorized} {
		refusing := authority.Serve(t, time.Now().Add(time.Hour), livetest.RefusingRegistration(standIn.Handler(), code))
		open := authority.Registry(t, "", "")
		chart, _ := open.Push(t, livetest.StandInChart(t, "registry.example/cedana", "1"))
		engine, calls := countingEngine(t)
		for name, value := range map[string]string{
			"CEDANA_AUTH_TOKEN": canary, "CEDANA_URL": refusing, "HELM_CHART": chart, "E2E_BACKEND": "live", "E2E_HOME": t.TempDir(),
			"HELM_VALUES": "", "DOCKER_HOST": engine, "E2E_ENGINE": "system", "CLUSTER_NAME": "", "CLUSTER_ID": "",
		} {
			t.Setenv(name, value)
		}
		said := captured(t)
		r, err := begin()
		require.NoError(t, err)
		_, err = r.ready(t.Context(), func() { t.Error("the tests are compiled") })
		var none *deploy.NoClusterError
		require.ErrorAs(t, err, &none)
		o := r.withoutCluster(none)
		require.Contains(t, o.NoCluster, fmt.Sprint(code))
		require.Contains(t, o.NoCluster, "none called cedana-e2e is registered either (none is registered)")
		require.Empty(t, o.ClusterID)
		require.Empty(t, o.Sources)
		require.False(t, o.Registered)

		err = Deploy(t.Context())
		require.ErrorContains(t, err, "no cluster and no right to register one")
		require.ErrorContains(t, err, "set CLUSTER_ID")
		require.Zero(t, calls.Load(), "the Docker engine was spoken to")
		require.NotContains(t, said()+err.Error()+o.NoCluster, canary)
	}
}

// countingEngine is a Docker host that counts who calls.
func countingEngine(t *testing.T) (host string, calls *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	calls = &atomic.Int32{}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			_ = conn.Close()
		}
	}()
	return "tcp://" + listener.Addr().String(), calls
}

// captured redirects what the process says until the test ends, and gives what it has said.
func captured(t *testing.T) func() string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	require.NoError(t, err)
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	t.Cleanup(func() {
		os.Stdout, os.Stderr = stdout, stderr
		require.NoError(t, file.Close())
	})
	return func() string {
		text, err := os.ReadFile(file.Name())
		require.NoError(t, err)
		return strings.TrimSpace(string(text))
	}
}
