package server

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestABodyMayBeGzipped(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	whole := gzipped(t, `{"cluster_name":"small"}`)
	for name, tc := range map[string]struct {
		encoding string
		body     []byte
		code     int
		says     string
	}{
		"gzip":                          {"gzip", whole, 200, ""},
		"its other names":               {"X-GZIP", whole, 200, ""},
		"plain and said so":             {"identity", []byte(`{"cluster_name":"small"}`), 200, ""},
		"large once it is decompressed": {"gzip", gzipped(t, `{"cluster_name":"`+strings.Repeat("x", maxBody)+`"}`), 413, "larger than"},
		"no gzip":                       {"gzip", []byte(`{"cluster_name":"small"}`), 400, "bad request body"},
		"cut off":                       {"gzip", whole[:len(whole)-6], 400, "bad request body"},
		"damaged":                       {"gzip", append(slices.Clone(whole[:len(whole)-8]), 1, 2, 3, 4, 5, 6, 7, 8), 400, "bad request body"},
		"nothing":                       {"gzip", nil, 400, "bad request body"},
		"deflate":                       {"deflate", whole, 415, "deflate"},
		"br":                            {"br", whole, 415, "br"},
		"gzip twice":                    {"gzip, gzip", whole, 415, "want gzip"},
	} {
		code, header, body, err := r.try(t.Context(), "POST", "/v1/cluster", canary, tc.body, http.Header{"Content-Encoding": {tc.encoding}})
		require.NoError(t, err, name)
		assert.Equal(t, tc.code, code, "%s: %s", name, body)
		assert.Contains(t, body, tc.says, name)
		if code == 415 {
			assert.Equal(t, "gzip", header.Get("Accept-Encoding"), "what would be taken is said: %s", name)
		}
	}
	code, _, body, err := r.try(t.Context(), "POST", "/v1/checkpoints", canary, nil, http.Header{"Content-Encoding": {"gzip"}})
	require.NoError(t, err)
	assert.Equal(t, 200, code, "a call without a body, from a client that compresses all of them: %s", body)
}

// rows are a list as it is sent, with every field that is there.
func (r *rig) rows(path string) []map[string]any {
	r.Helper()
	code, _, body := r.send("GET", path, nil)
	require.Equal(r, 200, code, body)
	var rows []map[string]any
	require.NoError(r, json.Unmarshal([]byte(body), &rows))
	return rows
}

func (r *rig) rowOf(path, key, id string) map[string]any {
	r.Helper()
	rows := r.rows(path)
	i := slices.IndexFunc(rows, func(row map[string]any) bool { return row[key] == id })
	require.GreaterOrEqual(r, i, 0, "%s lists %s", path, id)
	return rows[i]
}

func TestAnActionHasItsCheckpointFromTheFirstAnswerOn(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
	require.NoError(t, err)
	first := r.rowOf("/v2/actions", "action_id", id)["checkpoint_id"]
	require.Len(t, first, 36)
	require.Equal(t, propagator.CheckpointInitializing, r.row(id).Status)

	w := r.poll(work.RoleHelper, cluster, time.Second)
	require.Equal(t, first, w.Checkpoint.CheckpointID)
	c := r.put("a.tar", []byte("content"))
	c.Container = "main"
	code, body := r.result(w.ID, work.Result{Containers: []work.ContainerCheckpoint{c}})
	require.Equal(t, 200, code, body)
	require.Equal(t, first, r.rowOf("/v2/actions", "action_id", id)["checkpoint_id"])
	require.Equal(t, propagator.CheckpointReady, r.row(id).Status)

	restore, err := r.client.RestorePod(t.Context(), propagator.RestorePodRequest{ActionID: id})
	require.NoError(t, err)
	require.Equal(t, first, r.rowOf("/v2/actions", "action_id", restore)["checkpoint_id"], "a restore has the one that it restores")

	failed := r.failedCheckpoint(cluster, "uid-2")
	require.Len(t, r.rowOf("/v2/actions", "action_id", failed)["checkpoint_id"], 36)
	require.Equal(t, propagator.CheckpointDeprecated, r.row(failed).Status, "nothing can be restored from it")
}

func TestAResultForAnotherRowThanTheActionsIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	_, _, w := r.taken()
	c := r.put("a.tar", []byte("content"))
	c.Container, c.CheckpointID = "main", r.newRow()
	code, body := r.result(w.ID, work.Result{Containers: []work.ContainerCheckpoint{c}})
	require.Equal(t, 400, code, body)
	require.Contains(t, body, "want the action's own")
}

func TestActionsOfAnEarlierProgramGetACheckpointID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	records, err := store.Open(dir)
	require.NoError(t, err)
	ended := time.Now()
	require.NoError(t, records.Update(func(tx *store.Tx) error {
		return tx.Actions.Put(unknown, store.Action{ID: unknown, Type: propagator.ActionCheckpointPod, Status: propagator.StatusError, Error: "no", Created: ended, Ended: &ended})
	}))
	require.NoError(t, records.Close())
	r := startIn(t, dir, nil)
	require.Len(t, r.rowOf("/v1/actions", "action_id", unknown)["checkpoint_id"], 36)
	require.Equal(t, propagator.CheckpointDeprecated, r.row(unknown).Status)
}

// Each version has its own fields, all that it requires, and none of the other's.
func TestEachVersionHasItsFields(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.cluster("c")
	object := podObject("uid", "app", "Running", node)
	object["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"kind": "ReplicaSet", "name": "app", "controller": true}}
	object["spec"].(map[string]any)["containers"] = []any{map[string]any{"name": "main", "env": []any{map[string]any{"name": "CEDANA_CHECKPOINT", "value": "web"}}}}
	r.sync(cluster, object, false)
	id := r.checkpoint(cluster, "uid")
	action := []string{
		"action_id", "action_timestamp", "checkpoint_completed_timestamp", "checkpoint_id", "details", "gpu", "node_name",
		"platform", "reason", "status", "total_duration", "type",
	}
	checkpoint := []string{"checksum", "gpu", "id", "info", "name", "platform", "status"}
	fields := func(row map[string]any) []string { return slices.Sorted(maps.Keys(row)) }
	with := func(names []string, more ...string) []string {
		return slices.Sorted(slices.Values(append(slices.Clone(names), more...)))
	}

	older := r.rowOf("/v2/actions", "action_id", id)
	assert.Equal(t, action, fields(older))
	newer := r.rowOf("/v1/actions", "action_id", id)
	assert.Equal(t, with(action, "checkpoint_name", "delta", "workload_kind"), fields(newer), "a whole checkpoint has no parent")
	assert.Equal(t, "web", newer["checkpoint_name"])
	assert.Equal(t, "ReplicaSet", newer["workload_kind"])
	assert.Equal(t, false, newer["delta"])

	row := older["checkpoint_id"].(string)
	assert.Equal(t, checkpoint, fields(r.rowOf("/v2/checkpoints", "id", row)))
	assert.Equal(t, with(checkpoint, "delta"), fields(r.rowOf("/v1/checkpoints", "id", row)))

	assert.Equal(t, []string{"id", "last_sync", "metadata", "name", "status"}, fields(r.rowOf("/v2/cluster", "id", cluster)))
	assert.Equal(t, []string{"id", "kind", "last_sync", "metadata", "name", "status"}, fields(r.rowOf("/v1/cluster", "id", cluster)))

	code, _, body := r.send("GET", "/v1/actions/"+id, nil)
	require.Equal(t, 200, code, body)
	var details map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &details))
	assert.Equal(t, with(action, "checkpoint_info", "checkpoint_name", "checkpoint_size", "restore_path"), fields(details))

	for version, want := range map[string]string{"v1": `{"message":"Action ID not found: ` + unknown + `"}`, "v2": `{"message":"Action ID not found: ` + unknown + `","code":"404"}`} {
		code, _, body := r.send("GET", "/"+version+"/checkpoint/status/"+unknown, nil)
		assert.Equal(t, 404, code)
		assert.JSONEq(t, want, body)
	}
	report := map[string]any{"cluster_id": cluster, "resource": map[string]any{"type": "None"}}
	_, header, body := r.send("POST", "/v1/cluster/sync", report)
	assert.Equal(t, "text/plain; charset=utf-8", header.Get("Content-Type"))
	assert.Equal(t, cluster, body)
	_, header, body = r.send("POST", "/v2/cluster/sync", report)
	assert.Equal(t, "application/json", header.Get("Content-Type"))
	assert.Contains(t, body, `"message":`)
}

func TestResourcesOfAnyTypeAreKept(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	kept := func() (ids []string) {
		r.view(func(tx *store.Tx) {
			rows, err := tx.Resources.Where(store.ResourceKey(cluster, "", ""), nil)
			require.NoError(t, err)
			for _, row := range rows {
				ids = append(ids, row.Type+" "+row.ID)
			}
		})
		return ids
	}
	job := map[string]any{"type": "Job", "metadata": map[string]any{"uid": "j"}}
	r.sync(cluster, job, false)
	r.sync(cluster, map[string]any{"type": "DynamoGraphDeployment", "metadata": map[string]any{"uid": "d", "name": "graph"}, "spec": map[string]any{"x": 1}}, false)
	r.sync(cluster, map[string]any{"type": "DynamoService", "metadata": map[string]any{"name": "service", "namespace": "ns"}}, false)
	r.sync(cluster, map[string]any{"type": "OfNextYear"}, false)
	require.Equal(t, []string{"DynamoGraphDeployment d", "DynamoService ns/service", "Job j", "OfNextYear "}, kept())
	r.view(func(tx *store.Tx) {
		row, _, err := tx.Resources.Get(store.ResourceKey(cluster, "DynamoGraphDeployment", "d"))
		require.NoError(t, err)
		require.JSONEq(t, `{"metadata":{"uid":"d","name":"graph"},"spec":{"x":1}}`, string(row.Object))
	})
	r.sync(cluster, job, true)
	require.Len(t, kept(), 3)
	require.NoError(t, r.client.DeleteCluster(t.Context(), cluster))
	require.Empty(t, kept())
}

func TestAPodThatIsSaidToBeGoneIsGone(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]map[string]any{
		"by its uid":              {"type": "PodGone", "metadata": map[string]any{"uid": "uid", "name": "app", "namespace": "ns"}},
		"by its name":             {"type": "PodGone", "metadata": map[string]any{"name": "app", "namespace": "ns"}},
		"by its name alone there": {"type": "PodGone", "name": "app", "namespace": "ns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			cluster := r.pod("c", "uid")
			require.Len(t, r.rows("/v1/cluster/"+cluster+"/pods"), 1)
			r.sync(cluster, gone, false)
			require.Empty(t, r.rows("/v1/cluster/"+cluster+"/pods"))
		})
	}
}
