package node

import (
	"os"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
)

// The real thing: Debian from its mirror, Kubernetes from the compiler, the image into an engine; and all of it again,
// which has nothing to do. E2E_HOME keeps what was made for the next time.
func TestSourceNodeIsMadeOnce(t *testing.T) {
	if os.Getenv("E2E_IMAGE_TEST") == "" {
		t.Skip("compiles Kubernetes and installs Debian, for minutes: run as root with E2E_IMAGE_TEST=1, a Docker engine in DOCKER_HOST and -timeout 30m")
	}
	home := os.Getenv("E2E_HOME")
	if home == "" {
		home = t.TempDir()
	}
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	o := Options{Home: home, Flavour: Source, Engine: waitFor(engine), Progress: console.New(os.Stderr, os.Stdout)}

	start := time.Now()
	made, err := Ensure(t.Context(), o)
	require.NoError(t, err)
	t.Logf("first: %s, %+v", time.Since(start), made)

	start = time.Now()
	again, err := Ensure(t.Context(), o)
	require.NoError(t, err)
	took := time.Since(start)
	t.Logf("second: %s", took)
	require.Equal(t, made, again)
	require.Less(t, took, time.Second)
	for _, ref := range []string{made.Ref, made.Tools} {
		present, err := image.Present(t.Context(), engine, ref)
		require.NoError(t, err)
		require.True(t, present, ref)
	}
}
