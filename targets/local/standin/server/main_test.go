package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// runAsPropagator makes the test binary a propagator, so that a test can kill one.
const runAsPropagator = "CEDANA_E2E_TEST_PROPAGATOR"

func TestMain(m *testing.M) {
	if os.Getenv(runAsPropagator) != "" {
		if err := Main(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// process is a propagator in a process of its own.
type process struct {
	cmd *exec.Cmd
	log *bytes.Buffer
	url string
}

func spawn(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	p := &process{log: &bytes.Buffer{}, url: "http://" + address}
	p.cmd = exec.Command(os.Args[0], append([]string{"--listen", address, "--data", dir}, args...)...)
	p.cmd.Env = append(os.Environ(), runAsPropagator+"=1", tokenVariable+"="+canary)
	p.cmd.Stderr = p.log
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	require.Eventually(t, func() bool {
		resp, err := http.Get(p.url + healthPath)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, 20*time.Second, 10*time.Millisecond)
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()
}

func (p *process) rig(t *testing.T) *rig {
	t.Helper()
	c, err := propagator.New(p.url, canary, propagator.WithPolling(5*time.Millisecond, 50*time.Millisecond))
	require.NoError(t, err)
	return &rig{T: t, url: p.url, transport: http.DefaultTransport, client: c}
}

func TestAKillLosesNothingThatWasAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flags := []string{"--pickup-timeout", "3s", "--lease", "3s"}
	first := spawn(t, dir, flags...)
	r := first.rig(t)
	cluster := r.pod("c", "uid")
	r.sync(cluster, podObject("uid-2", "two", "Running", "node-2"), false)
	done := r.checkpoint(cluster, "uid")
	id := r.row(done).ID
	restoring := r.restore(cluster, done)
	inHand, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
	require.NoError(t, err)
	require.NotNil(t, r.poll(work.RoleHelper, cluster, time.Second))
	untaken, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid-2"})
	require.NoError(t, err)
	// Half an archive is on its way when the power goes.
	reader, writer := io.Pipe()
	broken := make(chan error, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPut, first.url+"/internal/v1/blobs/half.tar", reader)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+canary)
			var resp *http.Response
			if resp, err = http.DefaultTransport.RoundTrip(req); err == nil {
				err = resp.Body.Close()
			}
		}
		broken <- err
	}()
	_, err = writer.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.Eventually(t, func() bool { // until it has arrived
		left, err := os.ReadDir(filepath.Join(dir, "uploads"))
		return err == nil && len(left) == 1
	}, 10*time.Second, 5*time.Millisecond)
	first.kill()
	require.NoError(t, writer.Close())
	require.Error(t, <-broken)

	second := spawn(t, dir, flags...)
	r = second.rig(t)
	assert.Equal(t, cluster, r.cluster("c"))
	assert.Equal(t, propagator.StatusReady, r.status(done).Status)
	assert.Equal(t, propagator.CheckpointReady, r.rowByID(id).Status)
	code, header, body := r.send("GET", "/internal/v1/blobs/checkpoints/"+done+".tar", nil)
	assert.Equal(t, 200, code)
	assert.Equal(t, "archive of "+done, body)
	assert.Equal(t, r.rowByID(id).Checksum, header.Get(work.HeaderSHA256))
	code, _, _ = r.send("GET", "/internal/v1/blobs/half.tar", nil)
	assert.Equal(t, 404, code)
	left, err := os.ReadDir(filepath.Join(dir, "uploads"))
	require.NoError(t, err)
	assert.Empty(t, left)

	assert.Contains(t, r.ends(untaken), "no helper on node node-2 took the work")
	assert.Contains(t, r.ends(inHand), "gave no sign of life")
	assert.Contains(t, r.ends(restoring), "gave no sign of life")
	assert.Equal(t, propagator.StatusReady, r.status(done).Status)
}

func TestAWorkerThatOutlivesThePropagatorStillDelivers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := spawn(t, dir)
	r := first.rig(t)
	cluster := r.pod("c", "uid")
	id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
	require.NoError(t, err)
	w := r.poll(work.RoleHelper, cluster, time.Second)
	require.NotNil(t, w)
	first.kill()

	r = spawn(t, dir).rig(t)
	c := r.put("late.tar", []byte("late"))
	c.Container = "main"
	code, body := r.result(w.ID, work.Result{Containers: []work.ContainerCheckpoint{c}})
	require.Equal(t, 200, code, body)
	assert.Equal(t, propagator.StatusReady, r.status(id).Status)
}

func TestASecondProcessOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := startIn(t, dir, nil)
	_, err := Open(Config{Dir: dir, Token: canary})
	require.ErrorContains(t, err, "another process has it open")
	require.NoError(t, r.client.SyncCluster(t.Context(), propagator.ClusterSyncRequest{ClusterID: r.cluster("c")}))
}

func TestTheTokenIsInNoLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, err := Open(Config{Dir: t.TempDir(), Token: canary, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	require.NoError(t, err)
	r := &rig{T: t, server: s, url: startHTTP(t, s.Handler()), transport: http.DefaultTransport}
	for _, request := range requests(s) {
		r.send(request[0], request[1]+"?wait=0s", nil)
		_, _, _, err := r.try(t.Context(), request[0], request[1], "wrong", nil, nil)
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	assert.Contains(t, log.String(), `"code":401`)
	assert.NotContains(t, log.String(), canary)
	assert.NotContains(t, fmt.Sprintf("%+v", s), canary)
}

func TestItServesTLSAndStopsInGoodOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir)
	tokenFile := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(tokenFile, []byte(canary+"\n"), 0o600))
	o, err := parse([]string{"--data", filepath.Join(dir, "data"), "--token-file", tokenFile, "--tls-cert", cert, "--tls-key", key},
		func(string) string { return "" })
	require.NoError(t, err)
	o.cfg.Log = slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, o) }()

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	c, err := propagator.New("https://"+l.Addr().String()+"/v1", settings.Secret(canary), propagator.WithTransport(transport))
	require.NoError(t, err)
	_, err = c.Preflight(t.Context())
	require.NoError(t, err)
	r := &rig{T: t, url: c.BaseURL(), transport: transport}
	require.True(t, strings.HasPrefix(r.ask("PUT", "/v1/files/a", nil), "https://"), "the file's URL is https too")
	_, err = c.CreateCluster(t.Context(), "c")
	require.NoError(t, err)
	c.Close()
	begin := time.Now()
	cancel()
	require.NoError(t, <-done)
	assert.Less(t, time.Since(begin), 5*time.Second)
}

// Not over TLS: when both sides of a pipe, which has no buffer, say at once that they close, each waits for the other.
func TestAHeldPollDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, transport := propagatortest.Listen()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() {
			done <- serve(ctx, l, options{cfg: Config{Dir: t.TempDir(), Token: canary, Log: slog.New(slog.DiscardHandler)}})
		}()
		c, err := propagator.New(propagatortest.Address, settings.Secret(canary), propagator.WithTransport(transport))
		require.NoError(t, err)
		cluster, err := c.CreateCluster(t.Context(), "c")
		require.NoError(t, err)

		polled := make(chan int, 1)
		go func() {
			req, _ := http.NewRequest(http.MethodGet, propagatortest.Address+"/internal/v1/work?role=manager&wait=50s&cluster_id="+cluster, nil)
			req.Header.Set("Authorization", "Bearer "+canary)
			resp, err := transport.RoundTrip(req)
			if err != nil {
				polled <- -1
				return
			}
			_ = resp.Body.Close()
			polled <- resp.StatusCode
		}()
		synctest.Wait()
		transport.CloseIdleConnections() // one dialled to spare and never used gets 5 s from net/http
		synctest.Wait()
		begin := time.Now()
		cancel()
		require.NoError(t, <-done)
		assert.Less(t, time.Since(begin), 5*time.Second)
		assert.Equal(t, 204, <-polled)
	})
}

func TestTheCommandLine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		env  string
		want string
	}{
		"no token":           {nil, "", "no token"},
		"missing token file": {[]string{"--token-file", "/does/not/exist"}, "", "read token"},
		"unknown flag":       {[]string{"--token", "x"}, canary, "not defined"},
		"argument":           {[]string{"now"}, canary, `unexpected argument "now"`},
		"half of tls":        {[]string{"--tls-cert", "c"}, canary, "go together"},
		"negative":           {[]string{"--lease", "-1s"}, canary, "--lease"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(tc.args, func(string) string { return tc.env })
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), canary)
			assert.Equal(t, 2, misuse{err}.ExitCode())
		})
	}
	o, err := parse(nil, func(name string) string { return map[string]string{"CEDANA_AUTH_TOKEN": " " + canary + "\n"}[name] })
	require.NoError(t, err)
	assert.Equal(t, ":1324", o.listen)
	assert.Equal(t, "/data", o.cfg.Dir)
	assert.Equal(t, canary, o.cfg.Token.Reveal())
}

func certificate(t *testing.T, dir string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(cert, certPEM, 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	pool = x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certPEM))
	return cert, key, pool
}
