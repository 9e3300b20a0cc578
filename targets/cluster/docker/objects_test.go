package docker_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/docker/dockertest"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func ours(cluster string) map[string]string {
	return map[string]string{settings.DockerLabel: "true", settings.DockerLabelCluster: cluster}
}

func TestFindTakesStoppedContainersAndSortsByKindAndName(t *testing.T) {
	t.Parallel()
	e := &dockertest.Engine{
		Containers: []dockertest.Container{{Name: "b", State: "exited", Labels: ours("x")}, {Name: "a", State: "running", Labels: ours("y")}, {Name: "not-ours", State: "running"}},
		Networks:   map[string]map[string]string{"n": ours("x"), "bridge": nil},
		Volumes:    map[string]map[string]string{"v": ours("x")},
	}
	all, err := docker.Find(t.Context(), e, "")
	require.NoError(t, err)
	assert.Equal(t, "[container a container b network n volume v]", fmt.Sprint(all))
	of, err := docker.Find(t.Context(), e, "y")
	require.NoError(t, err)
	require.Len(t, of, 1)
	assert.Equal(t, "y", of[0].Cluster)
}

func TestRemoveOfWhatIsGoneSucceeds(t *testing.T) {
	t.Parallel()
	gone := []docker.Object{{Kind: docker.Container, ID: "c"}, {Kind: docker.Network, ID: "n"}, {Kind: docker.Volume, ID: "v"}}
	require.NoError(t, docker.Remove(t.Context(), &dockertest.Engine{}, gone))
}

// busy is an engine that is still removing a container for somebody else when it is first asked.
type busy struct {
	dockertest.Engine
	asked int
}

func (b *busy) ContainerRemove(ctx context.Context, id string, o container.RemoveOptions) error {
	if b.asked++; b.asked < 3 {
		return fmt.Errorf("removal of container %s is already in progress: %w", id, errdefs.ErrConflict)
	}
	return b.Engine.ContainerRemove(ctx, id, o)
}

func TestRemoveWaitsForAConflictToEnd(t *testing.T) {
	t.Parallel()
	e := &busy{Engine: dockertest.Engine{Containers: []dockertest.Container{{Name: "a", State: "running", Labels: ours("x")}}}}
	found, err := docker.Find(t.Context(), e, "x")
	require.NoError(t, err)
	require.NoError(t, docker.Remove(t.Context(), e, found))
	assert.Empty(t, e.Containers)
	assert.Equal(t, 3, e.asked)
}

func TestRemoveGivesUpOnAConflictWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &dockertest.Engine{
			Containers: []dockertest.Container{{Name: "not-ours", State: "running", Network: "n"}},
			Networks:   map[string]map[string]string{"n": ours("x")},
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		err := docker.Remove(ctx, e, []docker.Object{{Kind: docker.Network, ID: "id-n", Name: "n"}})
		require.ErrorContains(t, err, "remove network n: network n has active endpoints")
		assert.Len(t, e.Containers, 1)
	})
}

func TestAbsentTellsNoEngineFromOneThatRefuses(t *testing.T) {
	t.Parallel()
	assert.True(t, docker.Absent("unix://"+t.TempDir()+"/docker.sock", assert.AnError))
	assert.False(t, docker.Absent("tcp://engine:2376", assert.AnError))
}
