package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/settings"
)

const name = "cedana-e2e-a-propagator"

// engine has one container at most. A running one is published at port.
type engine struct {
	container *container.InspectResponse
	images    map[string]bool
	volumes   map[string]map[string]string
	port      string
	dies      bool
	created   int
}

func (e *engine) ContainerInspect(_ context.Context, id string) (container.InspectResponse, error) {
	if e.container == nil || id != name {
		return container.InspectResponse{}, errdefs.ErrNotFound
	}
	return *e.container, nil
}

func (e *engine) ContainerCreate(_ context.Context, c *container.Config, h *container.HostConfig, n *network.NetworkingConfig, _ *ocispec.Platform, as string) (container.CreateResponse, error) {
	if e.container != nil || as != name {
		return container.CreateResponse{}, errdefs.ErrConflict
	}
	e.created++
	networks := maps.Clone(n.EndpointsConfig)
	for net := range networks {
		networks[net] = &network.EndpointSettings{IPAddress: "172.20.0.5"}
	}
	e.container = &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{Name: "/" + name, HostConfig: h, State: &container.State{Status: "created"}},
		Config:            c,
		NetworkSettings:   &container.NetworkSettings{Networks: networks},
	}
	return container.CreateResponse{ID: "id"}, nil
}

func (e *engine) ContainerStart(context.Context, string, container.StartOptions) error {
	e.container.State = &container.State{Status: "running", Running: true}
	if e.dies {
		e.container.State = &container.State{Status: "restarting", Running: true, ExitCode: 1}
		e.container.RestartCount = 0
	}
	e.container.NetworkSettings.Ports = nat.PortMap{"1324/tcp": {{HostIP: "127.0.0.1", HostPort: e.port}}}
	return nil
}

func (e *engine) ContainerRemove(_ context.Context, id string, _ container.RemoveOptions) error {
	if e.container == nil || id != name {
		return errdefs.ErrNotFound
	}
	e.container = nil
	return nil
}

func (e *engine) ContainerLogs(context.Context, string, container.LogsOptions) (io.ReadCloser, error) {
	// The engine's framing: stream 2 is standard error, then the length.
	const line = "open data: permission denied\n"
	frame := append([]byte{2, 0, 0, 0}, binary.BigEndian.AppendUint32(nil, uint32(len(line)))...)
	return io.NopCloser(strings.NewReader(string(frame) + line)), nil
}

func (e *engine) ImageInspect(_ context.Context, ref string, _ ...client.ImageInspectOption) (dockerimage.InspectResponse, error) {
	if !e.images[ref] {
		return dockerimage.InspectResponse{}, errdefs.ErrNotFound
	}
	return dockerimage.InspectResponse{}, nil
}

func (e *engine) VolumeInspect(_ context.Context, v string) (volume.Volume, error) {
	labels, ok := e.volumes[v]
	if !ok {
		return volume.Volume{}, errdefs.ErrNotFound
	}
	return volume.Volume{Name: v, Labels: labels}, nil
}

func (e *engine) VolumeCreate(_ context.Context, o volume.CreateOptions) (volume.Volume, error) {
	e.volumes[o.Name] = o.Labels
	return volume.Volume{Name: o.Name}, nil
}

func healthyServer(t *testing.T, status int) (port string) {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/healthz", r.URL.Path)
		w.WriteHeader(status)
	})
}

func serve(t *testing.T, handler http.HandlerFunc) (port string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	return u.Port()
}

func newBackend(t *testing.T) (*backend, *engine) {
	t.Helper()
	home := t.TempDir()
	require.NoError(t, settings.KeepOwner(home))
	e := &engine{images: map[string]bool{"p:1": true, "p:2": true}, volumes: map[string]map[string]string{}, port: healthyServer(t, http.StatusOK)}
	return &backend{
		engine:   e,
		settings: settings.Run{ClusterName: "a", RunID: "r1", Home: home},
		options:  Options{Network: "k3d-a", Image: "p:1"},
		token:    "hush",
		step:     &console.Step{},
	}, e
}

func TestThePropagatorIsStartedBesideTheNodesAndReachableFromBothSides(t *testing.T) {
	t.Parallel()
	b, e := newBackend(t)
	var p Propagator
	require.NoError(t, b.ensure(t.Context(), &p))
	assert.Equal(t, "http://127.0.0.1:"+e.port, p.URL)
	assert.Equal(t, "http://172.20.0.5:1324", p.InClusterURL)

	c := e.container
	assert.Equal(t, "a", c.Config.Labels[settings.DockerLabelCluster])
	assert.Equal(t, "true", e.volumes[name][settings.DockerLabel])
	assert.Equal(t, []string{name + ":/data"}, c.HostConfig.Binds)
	assert.Equal(t, "127.0.0.1", c.HostConfig.PortBindings["1324/tcp"][0].HostIP)
	assert.Equal(t, container.RestartPolicyUnlessStopped, c.HostConfig.RestartPolicy.Name)
	assert.Contains(t, c.Config.Env, "CEDANA_AUTH_TOKEN=hush")
	assert.NotContains(t, c.Config.Cmd, "hush")
}

func TestARunningPropagatorIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	b, e := newBackend(t)
	var p Propagator
	require.NoError(t, b.ensure(t.Context(), &p))
	e.container.RestartCount = 2 // the engine was restarted since
	require.NoError(t, b.ensure(t.Context(), &p))
	assert.Equal(t, 1, e.created)
}

func TestAnUnfitPropagatorIsReplacedAndItsDataKept(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(b *backend, e *engine){
		"another image":   func(b *backend, _ *engine) { b.options.Image = "p:2" },
		"another network": func(b *backend, _ *engine) { b.options.Network = "k3d-b" },
		"another token":   func(b *backend, _ *engine) { b.token = "other" },
		"fault":           func(b *backend, _ *engine) { b.options.Fault = fault.ColdStart },
		"stopped":         func(_ *backend, e *engine) { e.container.State = &container.State{Status: "exited"} },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b, e := newBackend(t)
			var p Propagator
			require.NoError(t, b.ensure(t.Context(), &p))
			e.volumes[name]["kept"] = "yes"
			change(b, e)
			require.NoError(t, b.ensure(t.Context(), &p))
			assert.Equal(t, 2, e.created)
			assert.Equal(t, "yes", e.volumes[name]["kept"])
		})
	}
}

func TestAPropagatorIsBrokenOnRequestAndWholeAgainAtTheSamePort(t *testing.T) {
	t.Parallel()
	b, e := newBackend(t)
	require.NoError(t, b.ensure(t.Context(), &Propagator{}))
	assert.Contains(t, e.container.Config.Env, "E2E_FAULT=")
	b.options.Fault = fault.ColdStart
	require.NoError(t, b.ensure(t.Context(), &Propagator{}))
	assert.Contains(t, e.container.Config.Env, "E2E_FAULT=cold-start")
	assert.Equal(t, e.port, e.container.HostConfig.PortBindings["1324/tcp"][0].HostPort)
	b.options.Fault = ""
	require.NoError(t, b.ensure(t.Context(), &Propagator{}))
	assert.Contains(t, e.container.Config.Env, "E2E_FAULT=")
}

func TestWhatIsNotOursIsRefused(t *testing.T) {
	t.Parallel()
	b, e := newBackend(t)
	e.container = &container.InspectResponse{Config: &container.Config{}}
	require.ErrorContains(t, b.ensure(t.Context(), &Propagator{}), "was not made by this project")
	assert.NotNil(t, e.container)

	e.container = nil
	e.volumes[name] = nil
	require.ErrorContains(t, b.ensure(t.Context(), &Propagator{}), "volume "+name+" was not made by this project")
	assert.Zero(t, e.created)

	yours := b.settings.DockerLabels()
	yours[settings.DockerLabelOwner] = "yours"
	e.volumes[name] = yours
	require.ErrorContains(t, b.ensure(t.Context(), &Propagator{}), "volume "+name+` is another owner's, "yours"`)
	e.container = &container.InspectResponse{Config: &container.Config{Labels: yours}}
	require.ErrorContains(t, b.ensure(t.Context(), &Propagator{}), "container "+name+` is another owner's, "yours"`)
	assert.NotNil(t, e.container)
	assert.Zero(t, e.created)
}

func TestTheImageIsLoadedOnlyWhenItIsMissing(t *testing.T) {
	t.Parallel()
	b, e := newBackend(t)
	loads := 0
	b.options.Load = func(context.Context) error { loads++; e.images["p:3"] = true; return nil }
	require.NoError(t, b.ensure(t.Context(), &Propagator{}))
	assert.Zero(t, loads)
	b.options.Image = "p:3"
	require.NoError(t, b.ensure(t.Context(), &Propagator{}))
	assert.Equal(t, 1, loads)
}

func TestAPropagatorThatDiesIsReportedWithItsLog(t *testing.T) {
	t.Parallel()
	b, e := newBackend(t)
	e.port = "1" // nobody answers there
	e.dies = true
	err := b.ensure(t.Context(), &Propagator{})
	require.ErrorContains(t, err, "restarting with exit status 1")
	require.ErrorContains(t, err, "open data: permission denied")
}

func TestAPropagatorThatDoesNotGetHealthyIsReportedWithItsLastState(t *testing.T) {
	t.Parallel()
	b, e := newBackend(t)
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	late := errors.New("not done within 1m0s")
	asked := 0
	e.port = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		end(late) // the wait ends while a question is out
		<-r.Context().Done()
	})
	err := b.ensure(ctx, &Propagator{})
	require.ErrorIs(t, err, late)
	require.ErrorContains(t, err, "last state: GET http://127.0.0.1:"+e.port+"/healthz: 503")
	require.ErrorContains(t, err, "open data: permission denied")
}

func TestTheTokenIsMadeOncePerCluster(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	a, b := settings.Run{Home: home, ClusterName: "a"}, settings.Run{Home: home, ClusterName: "b"}
	first, err := ensureToken(a, "unix:///x")
	require.NoError(t, err)
	again, err := ensureToken(a, "unix:///x")
	require.NoError(t, err)
	other, err := ensureToken(b, "unix:///x")
	require.NoError(t, err)
	assert.Equal(t, first.Reveal(), again.Reveal())
	assert.NotEqual(t, first.Reveal(), other.Reveal())
	assert.GreaterOrEqual(t, len(first.Reveal()), 26)
	st, err := state.Load(filepath.Join(home, "clusters", "a"))
	require.NoError(t, err)
	assert.Equal(t, []string{"unix:///x"}, st.Engines)
}

func TestWhereNothingEverRanNoneIsFound(t *testing.T) {
	t.Parallel()
	_, err := Find(t.Context(), settings.Run{Home: t.TempDir(), ClusterName: "unit"})
	require.ErrorIs(t, err, ErrNotFound)
}
