package cluster

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	k3d "github.com/k3d-io/k3d/v5/pkg/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func top(lines ...string) container.TopResponse {
	out := container.TopResponse{Titles: []string{"PID", "COMMAND"}}
	for _, l := range lines {
		out.Processes = append(out.Processes, []string{"1", l})
	}
	return out
}

func TestAServerThatHasEndedIsToldFromOneThatStarts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		processes container.TopResponse
		gone      bool
	}{
		"the script prepares":   {top("/bin/sh /bin/k3d-entrypoint.sh server"), false},
		"the server starts":     {top("/bin/sh /bin/k3d-entrypoint.sh server", "/bin/k3s server --disable=traefik", "kubectl uncordon k3d-a-server-0"), false},
		"official k3s":          {top("/bin/sh /bin/k3d-entrypoint.sh server", "/bin/k3s server", "sleep 3"), false},
		"gone, between asking":  {top("/bin/sh /bin/k3d-entrypoint.sh server", "sleep 3"), true},
		"gone, and asked for":   {top("/bin/sh /bin/k3d-entrypoint.sh server", "kubectl uncordon k3d-a-server-0"), true},
		"an agent that is gone": {top("/bin/sh /bin/k3d-entrypoint.sh agent"), false},
	} {
		assert.Equal(t, c.gone, serverGone(c.processes), name)
	}
}

func TestTheLastErrorOfANodeIsNotThatOfItsScript(t *testing.T) {
	t.Parallel()
	for want, log := range map[string]string{
		`time="x" level=fatal msg="starting kubernetes: etcd"`:     "time=\"x\" level=info msg=a\ntime=\"x\" level=fatal msg=\"starting kubernetes: etcd\"\nThe connection to the server 127.0.0.1:6443 was refused\n",
		`time=x level=ERROR msg="wait for kube-apiserver: not up"`: "time=x level=ERROR msg=\"wait for kube-apiserver: not up\"\nerror: no kubeconfig\n",
		"its log has no error": "error: no kubeconfig\n",
	} {
		assert.Equal(t, want, lastError(log))
	}
}

// A node whose server is gone goes on running, and is never Ready.
func TestAServerThatEndsWhileTheClusterIsCreatedEndsTheWaitWithItsError(t *testing.T) {
	t.Parallel()
	run := settings.Run{ClusterName: "a", RunID: "r1", Home: t.TempDir()}
	require.NoError(t, settings.KeepOwner(run.Home))
	labels := run.DockerLabels()
	labels[k3d.LabelClusterName], labels[k3d.LabelRole] = "a", string(k3d.ServerRole)
	answer := func(w http.ResponseWriter, body any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	}
	socket := filepath.Join(t.TempDir(), "engine.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case strings.HasSuffix(p, "/containers/json"):
			answer(w, []container.Summary{{ID: "1", Names: []string{"/k3d-a-server-0"}, Labels: labels}})
		case strings.HasSuffix(p, "/networks"):
			answer(w, []network.Summary{})
		case strings.HasSuffix(p, "/volumes"):
			answer(w, volume.ListResponse{})
		case strings.HasSuffix(p, "/containers/1/json"):
			answer(w, container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "1", State: &container.State{Status: "running", Running: true}}})
		case strings.HasSuffix(p, "/containers/1/top"):
			answer(w, top("/bin/sh /bin/k3d-entrypoint.sh server", "sleep 3"))
		case strings.HasSuffix(p, "/logs"):
			line := "time=x level=ERROR msg=\"prepare server: no space\"\n"
			_, _ = w.Write(append([]byte{1, 0, 0, 0, 0, 0, 0, byte(len(line))}, line...))
		default:
			http.NotFound(w, r)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	engine, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithVersion("1.41"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = engine.Close() })

	m := &maker{settings: &settings.Cluster{Run: run}, engine: engine}
	begin := time.Now()
	watched, stop := m.watching(t.Context(), true)
	defer stop()
	<-watched.Done()
	require.Less(t, time.Since(begin), 5*time.Second)
	require.EqualError(t, context.Cause(watched), `the server on node k3d-a-server-0 has ended: time=x level=ERROR msg="prepare server: no space"`)
}
