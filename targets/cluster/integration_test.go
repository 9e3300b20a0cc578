package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// The tests below make real clusters in the engine at DOCKER_HOST, from the node image named by this variable.
const nodeImageEnv = "E2E_CLUSTER_TEST_IMAGE"

type bench struct {
	con      *console.Console
	said     *bytes.Buffer
	settings *settings.Cluster
	options  Options
	engine   *client.Client
}

func newBench(t testing.TB) *bench {
	ref := os.Getenv(nodeImageEnv)
	if ref == "" {
		t.Skipf("makes real clusters: set %s to a node image that the Docker engine has (`docker image ls cedana-e2e.local/*` after `go tool mage cluster`)", nodeImageEnv)
	}
	engine, err := connect(t.Context(), "")
	require.NoError(t, err)
	name := "clu-" + strings.ToLower(rand.Text()[:8])
	b := &bench{said: &bytes.Buffer{}, engine: engine, options: Options{Image: ref}}
	b.con = console.New(b.said, &bytes.Buffer{})
	b.settings = &settings.Cluster{
		Run: settings.Run{
			ClusterName: name, RunID: "test", Home: filepath.Join(t.TempDir(), "home"), Artifacts: filepath.Join(t.TempDir(), "artifacts"),
		},
		RuncRoot: "/run/containerd/runc/k8s.io",
	}
	require.NoError(t, settings.KeepOwner(b.settings.Home))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, remove(ctx, engine, name, b.settings.Owner()))
		if t.Failed() {
			t.Log(b.said.String())
		}
	})
	return b
}

func (b *bench) ensure(t *testing.T, limit time.Duration) (*Cluster, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	c, err := Ensure(ctx, b.con, b.settings, b.options)
	t.Logf("Ensure took %s", time.Since(start).Round(10*time.Millisecond))
	return c, err
}

func (b *bench) left(t *testing.T) []docker.Object {
	t.Helper()
	left, err := docker.Find(context.Background(), b.engine, b.settings.ClusterName)
	require.NoError(t, err)
	return left
}

func TestARealClusterFromNothingToNothing(t *testing.T) {
	b := newBench(t)
	userFile := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", userFile)
	t.Setenv("HOME", t.TempDir())

	c, err := b.ensure(t, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, Created, c.Outcome)
	assert.Equal(t, []string{"k3d-" + c.Name + "-server-0"}, c.Nodes)
	info, err := os.Stat(c.Kubeconfig)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	assert.NoFileExists(t, userFile)
	entries, err := os.ReadDir(os.Getenv("HOME"))
	require.NoError(t, err)
	assert.Empty(t, entries, "a user's file was touched")
	api, err := kubeClient(c.Kubeconfig, "k3d-"+c.Name)
	require.NoError(t, err)
	nodes, err := api.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Len(t, nodes.Items, 1)

	again, err := b.ensure(t, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, Reused, again.Outcome)

	testImages(t, c)

	logs := t.TempDir()
	require.NoError(t, c.Logs(t.Context(), logs))
	assert.FileExists(t, filepath.Join(logs, c.Nodes[0]+".log"))

	patience := 60
	require.NoError(t, b.engine.ContainerStop(t.Context(), c.Nodes[0], container.StopOptions{Timeout: &patience}))
	require.NoError(t, c.Logs(t.Context(), logs), "logs of a stopped node")
	log, err := os.ReadFile(filepath.Join(logs, c.Nodes[0]+".log"))
	require.NoError(t, err)
	assert.Contains(t, string(log), "node/"+c.Nodes[0]+" drained", "k3d's entrypoint needs commands of the node's kubectl")
	assert.Contains(t, string(log), "Waiting for k3s to close")
	started, err := b.ensure(t, 2*time.Minute)
	require.NoError(t, err)
	assert.Equal(t, Started, started.Outcome)

	other := *b.settings
	other.RuncRoot = "/run/e2e-other/runc/k8s.io"
	b.settings = &other
	moved, err := b.ensure(t, 2*time.Minute)
	require.NoError(t, err)
	assert.Equal(t, Recreated, moved.Outcome)
	assert.Contains(t, b.said.String(), "runc's state in /run/containerd/runc/k8s.io, RUNC_ROOT wants /run/e2e-other/runc/k8s.io")

	require.NoError(t, Delete(t.Context(), b.con, b.settings, ""))
	assert.Empty(t, b.left(t))
}

// testImages makes an image of the smallest program there is and puts it on the nodes, twice.
func testImages(t *testing.T, c *Cluster) {
	t.Helper()
	made, err := image.NewStore(t.TempDir(), console.Quiet{}).Static(t.Context(), image.Static{
		Name: "cluster-test", Program: image.Program{Package: "./targets/local/node/pause"}, Path: "/pause",
	})
	require.NoError(t, err)
	tarball := Image(made)
	require.NoError(t, c.putImages(t.Context(), []Image{tarball}))
	lacks, err := c.lacks(t.Context(), c.Nodes[0], []Image{tarball})
	require.NoError(t, err)
	require.Empty(t, lacks)

	there := tarball
	there.Path = filepath.Join(t.TempDir(), "nowhere")
	require.NoError(t, c.putImages(t.Context(), []Image{there}), "an image that is there is not imported again")

	require.NoError(t, os.WriteFile(tarball.Path, []byte("no tarball"), 0o600))
	err = c.putImages(t.Context(), []Image{{Ref: "cedana-e2e.local/other:1", Path: tarball.Path}})
	require.ErrorContains(t, err, "cedana-e2e.local/other:1")
}

func TestARealCreationThatIsInterruptedLeavesNothing(t *testing.T) {
	for _, after := range []time.Duration{100, 700, 1500, 2000, 2500, 4000} {
		after *= time.Millisecond
		t.Run(after.String(), func(t *testing.T) {
			b := newBench(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(after, cancel)
			_, err := Ensure(ctx, b.con, b.settings, b.options)
			t.Logf("rolled back after %s: %v", after, err)
			require.ErrorIs(t, err, context.Canceled)
			if left := b.left(t); len(left) > 0 {
				// An engine too slow for the time there is after Ctrl-C: then it has to be said, and be found later.
				require.ErrorContains(t, err, "remove what was made of cluster "+b.settings.ClusterName)
				require.NoError(t, remove(t.Context(), b.engine, b.settings.ClusterName, b.settings.Owner()))
				assert.Empty(t, b.left(t))
				assert.FileExists(t, filepath.Join(b.settings.ClusterDir(), state.File))
				return
			}
			assert.NoDirExists(t, b.settings.Home)
		})
	}
}

// BenchmarkARealClusterFromNothing is for the budget of a usable cluster: `-bench Real -benchtime 5x -run none`.
func BenchmarkARealClusterFromNothing(t *testing.B) {
	b := newBench(t)
	for t.Loop() {
		start := time.Now()
		_, err := Ensure(t.Context(), b.con, b.settings, b.options)
		require.NoError(t, err)
		made := time.Since(start)
		t.StopTimer()
		start = time.Now()
		require.NoError(t, Delete(t.Context(), b.con, b.settings, ""))
		t.Logf("usable after %s, deleted in %s", made.Round(10*time.Millisecond), time.Since(start).Round(10*time.Millisecond))
		t.StartTimer()
	}
}

func TestTwoRealClustersAtTheSameTime(t *testing.T) {
	benches := []*bench{newBench(t), newBench(t)}
	var wg sync.WaitGroup
	for _, b := range benches {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			_, err := Ensure(ctx, b.con, b.settings, b.options)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.NoError(t, Delete(t.Context(), benches[0].con, benches[0].settings, ""))
	c, err := benches[1].ensure(t, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, Reused, c.Outcome)
}

func TestARealClusterThatIsNotOursStaysAsItIs(t *testing.T) {
	b := newBench(t)
	name := "k3d-" + b.settings.ClusterName + "-server-0"
	made, err := b.engine.ContainerCreate(t.Context(), &container.Config{
		Image: b.options.Image, Labels: map[string]string{"app": "k3d", "k3d.cluster": b.settings.ClusterName, "k3d.role": "server"},
	}, nil, nil, nil, name)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, b.engine.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	})
	_, err = b.ensure(t, time.Minute)
	var foreign *ForeignError
	require.ErrorAs(t, err, &foreign)
	require.ErrorAs(t, Delete(t.Context(), b.con, b.settings, ""), &foreign)
	_, err = b.engine.ContainerInspect(t.Context(), made.ID)
	require.NoError(t, err)
	_, err = state.Load(b.settings.ClusterDir())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestARealNodesCommands(t *testing.T) {
	b := newBench(t)
	made, err := b.engine.ContainerCreate(t.Context(), &container.Config{
		Image: b.options.Image, Entrypoint: []string{"sleep", "60"}, Labels: b.settings.DockerLabels(),
	}, nil, nil, nil, b.settings.ClusterName)
	require.NoError(t, err)
	require.NoError(t, b.engine.ContainerStart(t.Context(), made.ID, container.StartOptions{}))

	var out bytes.Buffer
	require.NoError(t, docker.Exec(t.Context(), b.engine, made.ID, strings.NewReader("in"), &out, "sh", "-c", "cat; echo no >&2"))
	assert.Equal(t, "in", out.String())

	err = docker.Exec(t.Context(), b.engine, made.ID, nil, nil, "sh", "-c", "echo why >&2; exit 3")
	var exit *docker.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 3, exit.Code)
	assert.Equal(t, "why", exit.Stderr)

	// A command that does not want its input, and an input that breaks.
	require.NoError(t, docker.Exec(t.Context(), b.engine, made.ID, bytes.NewReader(make([]byte, 8<<20)), nil, "true"))
	require.ErrorIs(t, docker.Exec(t.Context(), b.engine, made.ID, broken{}, nil, "cat"), errBroken)

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, docker.Exec(ctx, b.engine, made.ID, nil, nil, "sleep", "5"), context.DeadlineExceeded)
}

var errBroken = errors.New("disk error")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
