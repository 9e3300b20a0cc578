package propagatorfault

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/server"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

const (
	canary  = "canary-token-77aa"
	unknown = "0b6c1f0e-6a0b-4a51-9d1b-1f2e3d4c5b6a"
	node    = "node-0"
)

// rig is a propagator with a fault, called without a network, whose workers the test plays.
type rig struct {
	*testing.T
	api    http.Handler
	server *server.Server
}

// broken starts a propagator with a fault; the empty name is a whole one.
func broken(t *testing.T, name fault.Name) *rig {
	t.Helper()
	return opened(t, name, t.TempDir())
}

// opened is broken with data that may be there already.
func opened(t *testing.T, name fault.Name, dir string) *rig {
	t.Helper()
	cfg := server.Config{
		Dir: dir, Token: canary, Tick: 10 * time.Millisecond, StatusHold: time.Millisecond, Log: slog.New(slog.DiscardHandler),
	}
	if name != "" {
		Inject(name)(&cfg)
	}
	s, err := server.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return &rig{t, s.Handler(), s}
}

// try does one request with a token.
func (r *rig) try(token, method, path string, body any) *httptest.ResponseRecorder {
	r.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(r, err)
		content = strings.NewReader(string(raw))
	}
	request := httptest.NewRequestWithContext(r.Context(), method, path, content)
	request.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	r.api.ServeHTTP(answer, request)
	return answer
}

// send does a request that has to be answered well, and returns the body.
func (r *rig) send(method, path string, body any) string {
	r.Helper()
	answer := r.try(canary, method, path, body)
	require.Equal(r, http.StatusOK, answer.Code, answer.Body)
	return answer.Body.String()
}

// get decodes the answer to a GET.
func (r *rig) get(path string, v any) {
	r.Helper()
	require.NoError(r, json.Unmarshal([]byte(r.send("GET", path, nil)), v))
}

func (r *rig) cluster(name string) string {
	r.Helper()
	return r.send("POST", "/v2/cluster", propagator.CreateClusterRequest{ClusterName: name})
}

// sync reports a running pod.
func (r *rig) sync(cluster, uid string, annotations map[string]string) {
	r.Helper()
	pod, err := json.Marshal(map[string]any{
		"type":     "Pod",
		"metadata": map[string]any{"uid": uid, "name": "app", "namespace": "ns", "annotations": annotations},
		"spec":     map[string]any{"nodeName": node, "containers": []any{map[string]any{"name": "main"}}},
		"status":   map[string]any{"phase": "Running"},
	})
	require.NoError(r, err)
	r.send("POST", "/v2/cluster/sync", propagator.ClusterSyncRequest{ClusterID: cluster, Resource: pod})
}

// pod registers a cluster with one running pod, and returns the cluster's id.
func (r *rig) pod(uid string) string {
	r.Helper()
	id := r.cluster("a")
	r.sync(id, uid, nil)
	return id
}

// begin asks for a checkpoint, which a helper takes.
func (r *rig) begin(cluster, uid string) string {
	r.Helper()
	id := r.send("POST", "/v2/checkpoint/pod", propagator.CheckpointPodRequest{PodID: uid, ClusterID: cluster})
	r.send("GET", "/internal/v1/work?role=helper&wait=5s&node="+node+"&cluster_id="+cluster, nil)
	return id
}

// stored puts a container's archive in the store.
func (r *rig) stored(path, content string) work.ContainerCheckpoint {
	r.Helper()
	r.send("PUT", "/internal/v1/blobs/"+path, content)
	sum := sha256.Sum256([]byte(content))
	return work.ContainerCheckpoint{Container: "main", Path: path, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}
}

func (r *rig) result(action string, result work.Result) {
	r.Helper()
	r.send("POST", "/internal/v1/work/"+action+"/result", result)
}

// checkpoint makes a checkpoint of a pod and returns its action's id.
func (r *rig) checkpoint(cluster, uid string) string {
	r.Helper()
	id := r.begin(cluster, uid)
	r.result(id, work.Result{Containers: []work.ContainerCheckpoint{r.stored(id+".tar", "archive of "+id)}})
	return id
}

// restore asks for a restore, which the manager takes.
func (r *rig) restore(cluster, action string) string {
	r.Helper()
	id := r.send("POST", "/v2/restore/pod", propagator.RestorePodRequest{
		ActionID: action, ClusterID: cluster, Reason: propagator.ReasonManual,
	})
	r.send("GET", "/internal/v1/work?role=manager&wait=5s&cluster_id="+cluster, nil)
	return id
}

func (r *rig) status(action string) (s propagator.Status) {
	r.Helper()
	r.get("/v2/checkpoint/status/"+action, &s)
	return s
}

// row is the one checkpoint that there is.
func (r *rig) row() propagator.Checkpoint {
	r.Helper()
	var rows []propagator.Checkpoint
	r.get("/v2/checkpoints", &rows)
	require.Len(r, rows, 1)
	return rows[0]
}

func (r *rig) manifest(action string) (m work.Manifest) {
	r.Helper()
	r.get("/internal/v1/checkpoints/"+action+"/manifest?namespace=ns", &m)
	require.Equal(r, action, m.ActionID)
	return m
}
