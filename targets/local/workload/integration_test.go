package workload

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
)

// Every image from its real packages and sources, in a real engine; and all of it again, which has nothing to do.
func TestImagesRun(t *testing.T) {
	if os.Getenv("E2E_IMAGE_TEST") == "" {
		t.Skip("gets packages from Debian and runs containers: set E2E_IMAGE_TEST=1, with a Docker engine in DOCKER_HOST")
	}
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	o := Options{Home: t.TempDir(), Progress: console.New(os.Stderr, os.Stdout)}
	start := time.Now()
	set, err := Images(t.Context(), o)
	require.NoError(t, err)
	t.Logf("first: %s", time.Since(start))
	start = time.Now()
	again, err := Images(t.Context(), o)
	require.NoError(t, err)
	t.Logf("second: %s", time.Since(start))
	require.Equal(t, set, again)
	require.Less(t, time.Since(start), time.Second)
	for _, tarball := range set.All() {
		info, err := os.Stat(tarball.Path)
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(30_000_000), "%s: images are put on every node", tarball.Ref)
		require.NoError(t, image.Load(t.Context(), engine, tarball, o.Progress))
	}

	t.Run("nginx serves, logs and stops", func(t *testing.T) {
		id, address := startContainer(t, engine, set.Nginx.Ref)
		require.Eventually(t, func() bool {
			response, err := http.Get("http://" + address + "/")
			if err != nil {
				return false
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			return err == nil && string(body) == index
		}, 10*time.Second, 50*time.Millisecond)
		require.Contains(t, execute(t, engine, id, "cat", "/var/log/nginx/access.log"), "GET / HTTP/1.1")
		require.NoError(t, engine.ContainerStop(t.Context(), id, container.StopOptions{}))
		state, err := engine.ContainerInspect(t.Context(), id)
		require.NoError(t, err)
		require.Zero(t, state.State.ExitCode, "SIGQUIT lets nginx finish")
	})
}

func startContainer(t *testing.T, engine *client.Client, ref string, command ...string) (id, address string) {
	t.Helper()
	created, err := engine.ContainerCreate(t.Context(), &container.Config{
		Image: ref, Cmd: command, Labels: map[string]string{"ai.cedana.e2e": "true"},
	}, nil, nil, nil, "")
	require.NoError(t, err)
	t.Cleanup(func() {
		// The context of the test has ended by then.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		require.NoError(t, engine.ContainerRemove(ctx, created.ID, container.RemoveOptions{Force: true}))
	})
	require.NoError(t, engine.ContainerStart(t.Context(), created.ID, container.StartOptions{}))
	state, err := engine.ContainerInspect(t.Context(), created.ID)
	require.NoError(t, err)
	for _, network := range state.NetworkSettings.Networks {
		address = network.IPAddress
	}
	return created.ID, address
}

func execute(t *testing.T, engine *client.Client, id string, command ...string) string {
	t.Helper()
	created, err := engine.ContainerExecCreate(t.Context(), id, container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	require.NoError(t, err)
	attached, err := engine.ContainerExecAttach(t.Context(), created.ID, container.ExecAttachOptions{})
	require.NoError(t, err)
	defer attached.Close()
	var out strings.Builder
	_, err = stdcopy.StdCopy(&out, &out, attached.Reader)
	require.NoError(t, err)
	return out.String()
}
