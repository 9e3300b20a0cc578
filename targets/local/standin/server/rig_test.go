package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
)

const (
	canary  = "canary-token-77aa"
	unknown = "0b6c1f0e-6a0b-4a51-9d1b-1f2e3d4c5b6a"
	node    = "node-0"
)

// rig is a real server, the real client, and a worker that a test plays by hand.
type rig struct {
	*testing.T
	server *Server
	url    string
	// transport leads to the server.
	transport http.RoundTripper
	client    *propagator.Client
	dir       string
}

// start runs a server; change sets the few seconds of a test in place of the defaults.
func start(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	return startIn(t, t.TempDir(), change)
}

func startIn(t *testing.T, dir string, change func(*Config)) *rig {
	t.Helper()
	cfg := Config{Dir: dir, Token: canary, Tick: 10 * time.Millisecond, StatusHold: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	s, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	transport := propagatortest.Serve(t, s.Handler())
	t.Cleanup(s.Stop)
	c, err := propagator.New(propagatortest.Address, canary, propagator.WithTransport(transport), propagator.WithSyncWait(50*time.Millisecond),
		propagator.WithPolling(5*time.Millisecond, 20*time.Millisecond), propagator.WithRetryInterval(5*time.Millisecond))
	require.NoError(t, err)
	return &rig{T: t, server: s, url: propagatortest.Address, transport: transport, client: c, dir: dir}
}

// send does one raw request with the token.
func (r *rig) send(method, path string, body any) (int, http.Header, string) {
	r.Helper()
	code, header, text, err := r.try(r.Context(), method, path, canary, body, nil)
	require.NoError(r, err)
	return code, header, text
}

// ask does one raw request that has to succeed, and returns the answer's body.
func (r *rig) ask(method, path string, body any) string {
	r.Helper()
	code, _, text := r.send(method, path, body)
	require.Equal(r, http.StatusOK, code, text)
	return text
}

// newRow makes a checkpoint's row and returns its id.
func (r *rig) newRow() string { return r.ask("POST", "/v1/checkpoints", nil) }

func (r *rig) putInfo(row string, info propagator.CheckpointInfoRequest) {
	r.Helper()
	r.ask("PUT", "/v1/checkpoints/info/"+row, info)
}

func (r *rig) try(ctx context.Context, method, path, token string, body any, header http.Header) (int, http.Header, string, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewReader([]byte(b))
	case []byte:
		reader = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return 0, nil, "", err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, reader)
	if err != nil {
		return 0, nil, "", err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(data), err
}

func (r *rig) cluster(name string) string {
	r.Helper()
	id, err := r.client.CreateCluster(r.Context(), name)
	require.NoError(r, err)
	return id
}

func podObject(uid, name, phase, nodeName string) map[string]any {
	return map[string]any{
		"type":     "Pod",
		"metadata": map[string]any{"uid": uid, "name": name, "namespace": "ns"},
		"spec":     map[string]any{"nodeName": nodeName, "containers": []any{map[string]any{"name": "main"}}},
		"status":   map[string]any{"phase": phase},
	}
}

func (r *rig) sync(cluster string, object map[string]any, deleted bool) {
	r.Helper()
	raw, err := json.Marshal(object)
	require.NoError(r, err)
	meta, err := json.Marshal(work.SyncMetadata{Deleted: deleted})
	require.NoError(r, err)
	require.NoError(r, r.client.SyncCluster(r.Context(), propagator.ClusterSyncRequest{ClusterID: cluster, Resource: raw, Metadata: meta}))
}

// pod registers a cluster with one running pod, and returns the cluster's id.
func (r *rig) pod(cluster, uid string) string {
	r.Helper()
	id := r.cluster(cluster)
	r.sync(id, podObject(uid, "app", "Running", node), false)
	return id
}

// poll takes work as a worker would; nil when none came.
func (r *rig) poll(role work.Role, cluster string, wait time.Duration) *work.Work {
	r.Helper()
	return r.pollAs(role, cluster, node, wait)
}

func (r *rig) pollAs(role work.Role, cluster, nodeName string, wait time.Duration) *work.Work {
	r.Helper()
	query := url.Values{"role": {string(role)}, "cluster_id": {cluster}, "node": {nodeName}, "wait": {wait.String()}}
	code, _, body := r.send("GET", "/internal/v1/work?"+query.Encode(), nil)
	if code == http.StatusNoContent {
		return nil
	}
	require.Equal(r, http.StatusOK, code, body)
	var w work.Work
	require.NoError(r, json.Unmarshal([]byte(body), &w))
	return &w
}

func (r *rig) put(path string, content []byte) work.ContainerCheckpoint {
	r.Helper()
	r.ask("PUT", blobPrefix+path, content)
	sum := sha256.Sum256(content)
	return work.ContainerCheckpoint{Path: path, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)), Platform: "linux/amd64"}
}

func (r *rig) result(id string, res work.Result) (int, string) {
	r.Helper()
	code, _, body := r.send("POST", "/internal/v1/work/"+id+"/result", res)
	return code, body
}

// checkpoint makes a ready checkpoint of the pod and returns its action's id.
func (r *rig) checkpoint(cluster, uid string) string {
	r.Helper()
	id, err := r.client.CheckpointPod(r.Context(), propagator.CheckpointPodRequest{PodID: uid, ClusterID: cluster})
	require.NoError(r, err)
	w := r.poll(work.RoleHelper, cluster, 5*time.Second)
	require.NotNil(r, w)
	require.Equal(r, id, w.ActionID)
	c := r.put("checkpoints/"+id+".tar", []byte("archive of "+id))
	c.Container = "main"
	code, body := r.result(w.ID, work.Result{Containers: []work.ContainerCheckpoint{c}, TotalDuration: 5})
	require.Equal(r, 200, code, body)
	return id
}

// taken makes a cluster with the running pod "uid" and asks for a checkpoint of it, which a helper takes.
func (r *rig) taken() (cluster, id string, w *work.Work) {
	r.Helper()
	cluster = r.pod("c", "uid")
	id, err := r.client.CheckpointPod(r.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
	require.NoError(r, err)
	w = r.poll(work.RoleHelper, cluster, time.Second)
	require.NotNil(r, w)
	return cluster, id, w
}

// restore starts a restore and lets the manager take it.
func (r *rig) restore(cluster, action string) string {
	r.Helper()
	id, err := r.client.RestorePod(r.Context(), propagator.RestorePodRequest{ActionID: action, ClusterID: cluster})
	require.NoError(r, err)
	w := r.poll(work.RoleManager, cluster, 5*time.Second)
	require.NotNil(r, w)
	require.Equal(r, id, w.ActionID)
	return id
}

func (r *rig) status(id string) propagator.Status {
	r.Helper()
	s, err := r.client.Status(r.Context(), id)
	require.NoError(r, err)
	return s
}

func (r *rig) row(action string) propagator.Checkpoint {
	r.Helper()
	a, err := r.client.Action(r.Context(), action)
	require.NoError(r, err)
	rows, err := r.client.Checkpoints(r.Context(), propagator.CheckpointFilter{IDs: []string{a.CheckpointID}})
	require.NoError(r, err)
	require.Len(r, rows, 1)
	return rows[0]
}

// ends waits for the action's error and returns its reason.
func (r *rig) ends(id string) string {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	_, err := r.client.Wait(ctx, id)
	var action *propagator.ActionError
	require.ErrorAs(r, err, &action)
	return action.Details
}

func (r *rig) view(read func(*store.Tx)) {
	r.Helper()
	require.NoError(r, r.server.store.View(func(tx *store.Tx) error { read(tx); return nil }))
}
