package cleanup

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// TestARealEngineIsCleaned needs an engine at DOCKER_HOST and, in it, an image that has `sleep`.
func TestARealEngineIsCleaned(t *testing.T) {
	ref := os.Getenv("E2E_CLUSTER_TEST_IMAGE")
	if ref == "" {
		t.Skip("makes containers: set E2E_CLUSTER_TEST_IMAGE to a node image that the Docker engine has (`docker image ls cedana-e2e.local/*` after `go tool mage cluster`)")
	}
	engine, err := docker.Connect("")
	require.NoError(t, err)
	defer engine.Close()
	s := &settings.Cleanup{
		Run:     settings.Run{Home: t.TempDir(), ClusterName: "cln-" + strings.ToLower(rand.Text()[:8]), ClusterChosen: true, RunID: "test"},
		Timeout: time.Minute,
	}
	require.NoError(t, settings.KeepOwner(s.Home))
	name := "k3d-" + s.ClusterName
	_, err = engine.NetworkCreate(t.Context(), name, network.CreateOptions{Labels: s.DockerLabels()})
	require.NoError(t, err)
	_, err = engine.VolumeCreate(t.Context(), volume.CreateOptions{Name: name, Labels: s.DockerLabels()})
	require.NoError(t, err)
	for _, suffix := range []string{"-server-0", "-agent-0"} {
		made, err := engine.ContainerCreate(t.Context(),
			&container.Config{Image: ref, Entrypoint: []string{"sleep", "600"}, Labels: s.DockerLabels()},
			&container.HostConfig{Binds: []string{name + ":/data"}, RestartPolicy: container.RestartPolicy{Name: "unless-stopped"}},
			&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: {}}}, nil, name+suffix)
		require.NoError(t, err)
		require.NoError(t, engine.ContainerStart(t.Context(), made.ID, container.StartOptions{}))
	}

	said := &strings.Builder{}
	require.NoError(t, Run(t.Context(), console.New(said, said), s, Options{}))
	left, err := docker.Find(t.Context(), engine, s.ClusterName)
	require.NoError(t, err)
	assert.Empty(t, left)
	for _, what := range []string{"container " + name + "-server-0", "container " + name + "-agent-0", "network " + name, "volume " + name, "4 removed, nothing left"} {
		assert.Contains(t, said.String(), what)
	}
	said.Reset()
	require.NoError(t, Run(t.Context(), console.New(said, said), s, Options{}))
	assert.Contains(t, said.String(), "nothing of cluster "+s.ClusterName+" to clean")
}
