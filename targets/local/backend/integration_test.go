package backend

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// TestARealPropagatorRunsAndKeepsItsData needs a Docker engine at DOCKER_HOST, and a Go compiler.
func TestARealPropagatorRunsAndKeepsItsData(t *testing.T) {
	if os.Getenv("E2E_CLUSTER_TEST_IMAGE") == "" {
		t.Skip("makes containers: set E2E_CLUSTER_TEST_IMAGE, as for the tests of targets/cluster, and DOCKER_HOST")
	}
	engine, err := docker.Connect("")
	require.NoError(t, err)
	defer engine.Close()
	tarball, err := image.NewStore(t.TempDir(), console.Quiet{}).Static(t.Context(), image.Static{
		Name: "backend-test", Program: image.Program{Name: "cedana", Package: "./targets/local/standin/cmd/cedana"}, Path: "/cedana",
	})
	require.NoError(t, err)
	said := &strings.Builder{}
	con := console.New(said, said)
	s := settings.Run{Home: t.TempDir(), ClusterName: "bck-" + strings.ToLower(rand.Text()[:8]), RunID: "test"}
	require.NoError(t, settings.KeepOwner(s.Home))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		left, err := docker.Find(ctx, engine, s.ClusterName)
		assert.NoError(t, err)
		assert.NoError(t, docker.Remove(ctx, engine, left))
		if t.Failed() {
			t.Log(said)
		}
	})
	o := Options{Network: "k3d-" + s.ClusterName, Image: tarball.Ref, Load: func(ctx context.Context) error {
		return image.Load(ctx, engine, tarball, console.Quiet{})
	}}
	_, err = engine.NetworkCreate(t.Context(), o.Network, network.CreateOptions{Labels: s.DockerLabels()})
	require.NoError(t, err)

	start := time.Now()
	p, err := Ensure(t.Context(), con, s, o)
	require.NoError(t, err)
	t.Logf("started in %s", time.Since(start))
	assert.NotContains(t, said.String(), p.Token.Reveal())
	info, err := engine.ContainerInspect(t.Context(), p.Container)
	require.NoError(t, err)
	assert.NotContains(t, strings.Join(info.Args, " "), p.Token.Reveal())

	register := func(url string, token settings.Secret) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v2/actions", nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	assert.Equal(t, http.StatusOK, register(p.URL, p.Token))
	assert.Equal(t, http.StatusUnauthorized, register(p.URL, "wrong"))

	again, err := Ensure(t.Context(), con, s, o)
	require.NoError(t, err)
	assert.Equal(t, p, again)
	same, err := engine.ContainerInspect(t.Context(), p.Container)
	require.NoError(t, err)
	assert.Equal(t, info.ID, same.ID)

	// Killed and removed, it comes back.
	require.NoError(t, engine.ContainerKill(t.Context(), p.Container, "KILL"))
	require.NoError(t, engine.ContainerRemove(t.Context(), p.Container, container.RemoveOptions{Force: true}))
	after, err := Ensure(t.Context(), con, s, o)
	require.NoError(t, err)
	assert.Equal(t, p.Token.Reveal(), after.Token.Reveal())
	assert.Equal(t, http.StatusOK, register(after.URL, after.Token))
}
