// Package live runs the whole thing as a user with an account would: the propagator behind TLS of a private authority, a
// token, and the chart in an OCI registry. Nothing is replaced but the address of the company: the propagator is the
// local one, reached as if it were Cedana's.
package live

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/livetest"
	"github.com/cedana/cedana-e2e/targets/local/workload"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

const guard = "E2E_LIVE_TEST"

// rig is what a live run needs from outside.
type rig struct {
	*testing.T
	root, home, cluster string
	env                 map[string]string
	canaries            canaries
}

func TestAWholeRunAgainstAPropagatorThatIsReachedAsLive(t *testing.T) {
	r := newRig(t, "")
	r.mustMage("cluster", "E2E_BACKEND=local")
	r.nodeIsFitForCedanasOwnHelper()
	authority, url, chart := r.live()
	open := authority.Registry(t, "", "")
	address, digest := open.Push(t, chart)
	locked := authority.Registry(t, "robot", string(r.canaries["registry password"]))
	lockedAddress, lockedDigest := locked.Push(t, chart)
	login := []string{"HELM_REGISTRY_USERNAME=robot", "HELM_REGISTRY_PASSWORD=" + string(r.canaries["registry password"])}
	stop := r.canaries.watchProcesses(t)

	r.withoutTheRightToRegister(authority, url, address)
	require.Zero(t, r.clusters(authority, url))
	// What would be installed, with the secrets masked. r.mustMage looks for them in all that comes out.
	out := r.mustMage("values", append(login, "HELM_CHART="+lockedAddress)...)
	require.Contains(t, out, "***")

	// Green, from a registry that lets everybody in, by tag.
	out = r.mustMage("e2e", "HELM_CHART="+address+":"+chart.Metadata.Version)
	require.Contains(t, out, "TestRestoreNginx")
	require.Equal(t, 1, r.clusters(authority, url), "one cluster is registered")
	r.canaries.notInFiles(t, r.env["E2E_ARTIFACTS"])
	// By digest; from a registry that wants a login both ways, which is given by variables or as `docker login` leaves it.
	// The cluster and its registration are taken again.
	r.mustMage("deploy", "HELM_CHART="+address+"@"+digest)
	r.mustMage("deploy", append(login, "HELM_CHART="+lockedAddress+":"+chart.Metadata.Version)...)
	r.mustMage("deploy", append(login, "HELM_CHART="+lockedAddress+"@"+lockedDigest)...)
	r.mustMage("deploy", "DOCKER_CONFIG="+r.dockerLogin(locked), "HELM_CHART="+lockedAddress)
	require.Equal(t, 1, r.clusters(authority, url), "no second one")
	out, err := r.mage("deploy", "HELM_CHART="+lockedAddress)
	require.Error(t, err)
	require.Contains(t, out, "the registry refuses the login")
	// What is installed already needs neither chart nor token.
	r.mustMage("e2e", "SKIP_HELM=1", "CEDANA_AUTH_TOKEN=", "CEDANA_URL=", "E2E_RUN=TestDeploy")

	// Red: no restore takes a millisecond. The artifacts of a failure have the most to give away.
	out, err = r.mage("e2e", "HELM_CHART="+address, "E2E_RUN=TestRestoreNginx", "E2E_RESTORE_TIMEOUT=1ms")
	require.Error(t, err)
	require.Contains(t, out, "TestRestoreNginx")
	require.DirExists(t, filepath.Join(r.env["E2E_ARTIFACTS"], "failure"))

	r.canaries.onlyInSecrets(t, filepath.Join(r.home, "clusters", r.cluster, "kubeconfig"), "k3d-"+r.cluster)
	r.canaries.notInFiles(t, r.env["E2E_ARTIFACTS"])
	r.installedInACluster()
	r.existing(address)
	stop()
	r.canaries.notInFiles(t, filepath.Join(r.home, "clusters", r.cluster))

	r.mustMage("clean")
	require.Zero(t, r.clusters(authority, url), "what was registered is deregistered")
}

// live.yml and clean.yml, step by step, with the secret that they have at home and not in a fork. The cluster is there
// before, with the image that the chart names in it: no registry has that.
func TestTheLiveWorkflowWithItsSecret(t *testing.T) {
	r := newRig(t, "-workflow")
	r.mustMage("cluster", "E2E_BACKEND=local")
	authority, url, chart := r.live()
	address, _ := authority.Registry(t, "", "").Push(t, chart)
	object := func(of map[string]string) string {
		text, err := json.Marshal(of)
		require.NoError(t, err)
		return string(text)
	}
	over := map[string]string{
		"E2E_HOME":     r.home, // the cluster is its own: a job's home would be another owner
		"CLUSTER_NAME": r.cluster, "HELM_VALUES": r.env["HELM_VALUES"], "SSL_CERT_FILE": r.env["SSL_CERT_FILE"],
		"HELM_CONFIG_HOME": r.env["HELM_CONFIG_HOME"], "DOCKER_CONFIG": r.env["DOCKER_CONFIG"],
	}
	// As this test is told: a machine that cannot have the official image has no other.
	if node := os.Getenv("E2E_NODE"); node != "" {
		over["E2E_NODE"] = node
	}
	out, err := r.command([]string{"go", "test", "-count=1", "-v", "-timeout", "60m", "-run", "TestEveryStepOfTheWorkflowsInOrder", "./tests/workflows"},
		"E2E_WORKFLOWS=live.yml,clean.yml", "E2E_WORKFLOWS_OVER="+object(over), "E2E_WORKFLOWS_CACHE="+r.home,
		"E2E_WORKFLOWS_SECRETS="+object(map[string]string{"CEDANA_AUTH_TOKEN": string(r.canaries["token"])}),
		"E2E_WORKFLOWS_VARS="+object(map[string]string{"CEDANA_URL": url, "HELM_CHART": address}))
	require.NoError(t, err, out)
	_, report, _ := strings.Cut(out, "what was run:")
	r.Logf("the workflows:%s", report)
	for _, step := range []string{"doctor: ok", "e2e: ok", "clean: ok", "sweep: ok"} {
		require.Contains(t, report, "run: go tool mage "+step)
	}
	require.Zero(t, r.clusters(authority, url), "what was registered is deregistered")
	r.mustMage("clean")
}

// live serves what a live run meets, and sets the variables that lead there: the propagator and, for a registry, the
// authority that signs for it and the chart.
func (r *rig) live() (authority *livetest.Authority, url string, c *chart.Chart) {
	r.Helper()
	authority, err := livetest.NewAuthority()
	require.NoError(r, err)
	standIn, err := image.NewStore(r.home, console.New(os.Stderr, os.Stdout)).Static(r.Context(), local.StandIn)
	require.NoError(r, err)
	url = r.servePropagator(authority)
	repository, tag, _ := strings.Cut(standIn.Ref, ":")
	ca, err := yaml.Marshal(map[string]any{"config": map[string]any{"caCertificate": string(authority.PEM)}})
	require.NoError(r, err)
	values := filepath.Join(r.TempDir(), "values.yaml")
	require.NoError(r, os.WriteFile(values, ca, 0o600))
	trusted := filepath.Join(r.TempDir(), "ca.crt")
	require.NoError(r, os.WriteFile(trusted, authority.PEM, 0o600))
	r.env["E2E_BACKEND"] = "live"
	r.env["CEDANA_URL"] = url
	r.env["CEDANA_AUTH_TOKEN"] = string(r.canaries["token"])
	r.env["HELM_VALUES"] = values
	r.env["SSL_CERT_FILE"] = trusted
	return authority, url, livetest.StandInChart(r, repository, tag)
}

// nodeIsFitForCedanasOwnHelper looks on a real node for what Cedana's own helper, which never runs here, expects there:
// it enters the node with bash, unpacks with GNU tar, and edits containerd's configuration.
func (r *rig) nodeIsFitForCedanasOwnHelper() {
	r.Helper()
	engine := r.engine()
	defer engine.Close()
	for what, script := range map[string]string{
		"GNU tar":                       "tar --version | grep -q 'GNU tar'",
		"/.dockerenv":                   "test -e /.dockerenv",
		"containerd's configuration":    "test -s /etc/containerd/config.toml && test -w /etc/containerd/config.toml",
		"a runtime cedana":              "grep -A9 'runtimes.*cedana' /etc/containerd/config.toml | grep -q /usr/local/bin/cedana-shim-runc-v2",
		"containerd's socket, as usual": "test -S /run/containerd/containerd.sock",
		"containerd's socket, as k3s's": "test -S /run/k3s/containerd/containerd.sock",
	} {
		var out bytes.Buffer
		err := docker.Exec(r.Context(), engine, "k3d-"+r.cluster+"-server-0", nil, &out, "bash", "-c", script)
		require.NoError(r, err, "the node lacks %s: %s", what, out.String())
	}
}

// withoutTheRightToRegister runs against the same propagator through a proxy that refuses to register clusters: no
// engine is needed, as nothing is made, and the tests that need no pods are green.
func (r *rig) withoutTheRightToRegister(authority *livetest.Authority, propagator, chart string) {
	r.Helper()
	target, err := url.Parse(propagator)
	require.NoError(r, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: authority.Trust()}
	for _, code := range []int{http.StatusForbidden, http.StatusUnauthorized} {
		address := authority.Serve(r, time.Now().Add(time.Hour), livetest.RefusingRegistration(proxy, code))
		env := []string{"CEDANA_URL=" + address, "HELM_CHART=" + chart, "CLUSTER_NAME=" + r.cluster + "-none", "DOCKER_HOST=unix:///no/such/docker.sock", "E2E_ENGINE=system"}
		out := r.mustMage("e2e", env...)
		require.Contains(r, out, "3 passed, 0 failed")
		require.Contains(r, out, "needs pods: no cluster and no right to register one")
		require.Contains(r, out, "Nothing was deployed, checkpointed or restored")
		out, err := r.mage("deploy", env...)
		require.Error(r, err)
		require.Contains(r, out, "no cluster and no right to register one")
		r.mustMage("clean", env...)
	}
}

// dockerLogin is a DOCKER_CONFIG directory as `docker login` leaves it.
func (r *rig) dockerLogin(registry *livetest.Registry) string {
	r.Helper()
	dir := r.TempDir()
	login := base64.StdEncoding.EncodeToString([]byte(registry.User + ":" + registry.Password))
	config, err := json.Marshal(map[string]any{"auths": map[string]any{registry.Host: map[string]string{"auth": login}}})
	require.NoError(r, err)
	require.NoError(r, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600))
	return dir
}

// engine is the one that the cluster is in.
func (r *rig) engine() *client.Client {
	r.Helper()
	remembered, err := state.Load(filepath.Join(r.home, "clusters", r.cluster))
	require.NoError(r, err)
	engine, err := docker.Connect(remembered.Engines[len(remembered.Engines)-1])
	require.NoError(r, err)
	return engine
}

// theirs is what somebody else has in the cluster: a namespace, a volume, and the namespace of another run of these
// targets.
func (r *rig) theirs(client kubernetes.Interface) {
	r.Helper()
	theirs := metav1.ObjectMeta{Name: "theirs"}
	another := metav1.ObjectMeta{Name: "another-run", Labels: map[string]string{
		settings.KubernetesLabelManaged: settings.ManagedBy, settings.KubernetesLabelRun: "0ther0ne",
	}}
	for _, meta := range []metav1.ObjectMeta{theirs, another} {
		_, err := client.CoreV1().Namespaces().Create(r.Context(), &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{})
		require.NoError(r, err)
	}
	_, err := client.CoreV1().PersistentVolumes().Create(r.Context(), &corev1.PersistentVolume{ObjectMeta: theirs, Spec: corev1.PersistentVolumeSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp/theirs"}},
	}}, metav1.CreateOptions{})
	require.NoError(r, err)
}

// theirsIsThere checks that a clean-up took nothing of theirs, and everything of its own run's.
func (r *rig) theirsIsThere(client kubernetes.Interface) {
	r.Helper()
	for _, name := range []string{"theirs", "another-run", "cedana-system"} {
		_, err := client.CoreV1().Namespaces().Get(r.Context(), name, metav1.GetOptions{})
		require.NoError(r, err, "a namespace that is not this run's")
	}
	_, err := client.CoreV1().PersistentVolumes().Get(r.Context(), "theirs", metav1.GetOptions{})
	require.NoError(r, err, "a volume of somebody else")
	require.EventuallyWithT(r, func(c *assert.CollectT) {
		all, err := client.CoreV1().Namespaces().List(r.Context(), metav1.ListOptions{LabelSelector: settings.KubernetesLabelManaged + "=" + settings.ManagedBy})
		require.NoError(c, err)
		var names []string
		for _, ns := range all.Items {
			names = append(names, ns.Name)
		}
		require.Subset(c, []string{"another-run", "cedana-system"}, names)
	}, time.Minute, time.Second, "the namespaces of this run's tests are gone")
}

// releases are Helm's records, by name.
func (r *rig) releases(client kubernetes.Interface) []string {
	r.Helper()
	all, err := client.CoreV1().Secrets("").List(r.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	require.NoError(r, err)
	var names []string
	for _, secret := range all.Items {
		names = append(names, secret.Name)
	}
	return names
}

// elsewhere are the variables of a run in the same cluster as if it were somebody else's, with an engine that does not
// answer.
func (r *rig) elsewhere() []string {
	r.Helper()
	pods, err := workload.Images(r.Context(), workload.Options{Home: r.home, Progress: console.New(os.Stderr, os.Stdout)})
	require.NoError(r, err)
	return []string{
		"E2E_CLUSTER=existing", "KUBECONFIG=" + filepath.Join(r.home, "clusters", r.cluster, "kubeconfig"), "KUBECONTEXT=k3d-" + r.cluster,
		"CLUSTER_NAME=" + r.cluster + "-theirs", "DOCKER_HOST=unix:///no/such/docker.sock",
		"E2E_IMAGE_NGINX=" + pods.Nginx.Ref, "E2E_IMAGE_COUNTER=" + pods.Counter.Ref,
	}
}

// installedInACluster tests Cedana as somebody has installed it in their cluster: its clean-up leaves the release.
func (r *rig) installedInACluster() {
	r.Helper()
	client := kubeClient(r.T, filepath.Join(r.home, "clusters", r.cluster, "kubeconfig"), "k3d-"+r.cluster)
	r.theirs(client)
	env := append(r.elsewhere(), "SKIP_HELM=1", "CEDANA_AUTH_TOKEN=", "CEDANA_URL=")
	before := r.releases(client)
	require.NotEmpty(r, before)
	r.mustMage("e2e", append(env, "E2E_RUN=TestRestoreNginx")...)
	// A test that fails and keeps its namespace leaves something to clean.
	_, err := r.mage("e2e", append(env, "E2E_RUN=TestRestoreNginx", "E2E_KEEP=1", "E2E_RESTORE_TIMEOUT=1ms")...)
	require.Error(r, err)
	r.mustMage("clean", env...)
	r.theirsIsThere(client)
	require.Equal(r, before, r.releases(client), "the release that was there is untouched")
}

// existing deploys into the same cluster as if it were somebody else's, and cleans up after itself there and nowhere
// else.
func (r *rig) existing(chart string) {
	r.Helper()
	client := kubeClient(r.T, filepath.Join(r.home, "clusters", r.cluster, "kubeconfig"), "k3d-"+r.cluster)
	env := append(r.elsewhere(), "HELM_CHART="+chart)
	r.mustMage("e2e", append(env, "E2E_RUN=TestRestore(Nginx|Counter)")...)
	r.mustMage("clean", env...)
	r.theirsIsThere(client)
	require.Empty(r, r.releases(client), "the release that the run has brought to its last revision is gone")
}

func kubeClient(t testing.TB, kubeconfig, kubeContext string) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(restConfig(t, kubeconfig, kubeContext))
	require.NoError(t, err)
	return client
}

// newRig is for a cluster of CLUSTER_NAME and an ending.
func newRig(t *testing.T, ending string) *rig {
	t.Helper()
	if os.Getenv(guard) != "1" {
		t.Skipf("makes a k3d cluster, which takes what `go tool mage e2e` takes (Linux, root, Go) and some minutes: set %s=1; "+
			"E2E_HOME, CLUSTER_NAME (default live-test) and DOCKER_HOST are honoured", guard)
	}
	root, err := gobuild.Root()
	require.NoError(t, err)
	r := &rig{T: t, root: root, home: os.Getenv("E2E_HOME"), cluster: os.Getenv("CLUSTER_NAME"), canaries: canaries{
		"token": settings.Secret("canary-" + rand.Text()), "registry password": settings.Secret("canary-" + rand.Text()),
	}}
	if r.home == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		r.home = filepath.Join(cache, "cedana-e2e")
	}
	if r.cluster == "" {
		r.cluster = "live-test"
	}
	r.cluster += ending
	r.env = map[string]string{
		"E2E_HOME": r.home, "CLUSTER_NAME": r.cluster, "E2E_ARTIFACTS": t.TempDir(),
		// What is logged in on this machine must not help.
		"HELM_CONFIG_HOME": t.TempDir(), "DOCKER_CONFIG": t.TempDir(), "HELM_CHART": "", "HELM_VALUES": "", "CLUSTER_ID": "", "SKIP_HELM": "",
		"CEDANA_AUTH_TOKEN": "", "CEDANA_URL": "",
	}
	// Its propagator is still there to take the deregistration.
	t.Cleanup(func() {
		if !t.Failed() || os.Getenv("E2E_KEEP") == "1" {
			return
		}
		if out, err := r.mage("clean"); err != nil {
			t.Logf("clean up: %v\n%s", err, out)
		}
	})
	return r
}

// mage runs a target and gives all that it says; that, and the error, never has a canary in it.
func (r *rig) mage(target string, env ...string) (string, error) {
	r.Helper()
	return r.command([]string{"go", "tool", "mage", target}, env...)
}

func (r *rig) command(args []string, env ...string) (string, error) {
	r.Helper()
	what := strings.Join(args, " ")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = r.root
	cmd.Env = os.Environ()
	for name, value := range r.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	r.Logf("%s", what)
	begin := time.Now()
	err := cmd.Run()
	r.Logf("%s: %s, %v", what, time.Since(begin).Round(100*time.Millisecond), err)
	r.canaries.notIn(r.T, "the output of "+what, out.Bytes())
	return out.String(), err
}

func (r *rig) mustMage(target string, env ...string) string {
	r.Helper()
	out, err := r.mage(target, env...)
	require.NoError(r, err, "mage %s:\n%s", target, out)
	return out
}

// servePropagator runs the local propagator as a process of this machine, behind TLS, at an address of this machine that
// nodes reach, and gives its URL. Pods and tests reach it by the same one, as they do Cedana's. It is the default
// bridge's: that of the nodes' own network would go with the cluster, before the cluster is deregistered.
func (r *rig) servePropagator(authority *livetest.Authority) string {
	r.Helper()
	engine := r.engine()
	defer engine.Close()
	bridge, err := engine.NetworkInspect(r.Context(), "bridge", network.InspectOptions{})
	require.NoError(r, err)
	gateway := addressOf(r.T, bridge.Options["com.docker.network.bridge.name"])
	// A port that is free now; the propagator wants to know it before it starts.
	listener, err := net.Listen("tcp", net.JoinHostPort(gateway, "0"))
	require.NoError(r, err, "listen on the address of the engine's bridge: the engine has to run on this machine")
	address := listener.Addr().String()
	require.NoError(r, listener.Close())

	dir := r.TempDir()
	cert, key := authority.Issue(r, time.Now().Add(time.Hour), gateway)
	for name, data := range map[string][]byte{"tls.crt": cert, "tls.key": key, "token": []byte(r.canaries["token"])} {
		require.NoError(r, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	program, err := image.NewStore(r.home, console.New(os.Stderr, os.Stdout)).Program(r.Context(), local.StandIn.Program)
	require.NoError(r, err)
	cmd := exec.CommandContext(context.WithoutCancel(r.Context()), program.Path, "propagator", "--listen", address, "--data", filepath.Join(dir, "data"),
		"--token-file", filepath.Join(dir, "token"), "--tls-cert", filepath.Join(dir, "tls.crt"), "--tls-key", filepath.Join(dir, "tls.key"))
	var log lockedBuffer
	cmd.Stderr = &log
	require.NoError(r, cmd.Start())
	r.Cleanup(func() {
		require.NoError(r, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		r.canaries.notIn(r.T, "the propagator's log", log.Bytes())
		if r.Failed() {
			r.Logf("the propagator's log:\n%s", log.Bytes())
		}
	})
	url := "https://" + address
	require.EventuallyWithT(r, func(c *assert.CollectT) {
		_, err := r.client(authority, url).Preflight(r.Context())
		require.NoError(c, err)
	}, 20*time.Second, 100*time.Millisecond, "the propagator answers")
	return url
}

// addressOf is the first IPv4 address of an interface of this machine. Older engines do not tell the default bridge's.
func addressOf(t testing.TB, name string) string {
	t.Helper()
	device, err := net.InterfaceByName(name)
	require.NoError(t, err, "find the engine's bridge %q: the engine has to run on this machine", name)
	addresses, err := device.Addrs()
	require.NoError(t, err)
	for _, address := range addresses {
		if prefix, ok := address.(*net.IPNet); ok && prefix.IP.To4() != nil {
			return prefix.IP.String()
		}
	}
	require.Fail(t, "no address", "interface %s has no IPv4 address", name)
	return ""
}

func (r *rig) client(authority *livetest.Authority, url string) *propagator.Client {
	r.Helper()
	api, err := propagator.New(url, r.canaries["token"], propagator.WithTransport(&http.Transport{TLSClientConfig: authority.Trust()}))
	require.NoError(r, err)
	return api
}

func (r *rig) clusters(authority *livetest.Authority, url string) int {
	r.Helper()
	all, err := r.client(authority, url).Clusters(r.Context())
	require.NoError(r, err)
	return len(all)
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}
