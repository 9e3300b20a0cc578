package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

func startHTTP(t *testing.T, h http.Handler) string {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return web.URL
}

func TestACheckpointGoesThroughItsStates(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	ctx := t.Context()
	cluster := r.pod("c", "uid")
	id, err := r.client.CheckpointPod(ctx, propagator.CheckpointPodRequest{
		PodID: "uid", RuncRoot: "/runc", Overrides: &propagator.CheckpointOverrides{Compression: "lz4"},
	})
	require.NoError(t, err)
	assert.Equal(t, propagator.StatusInitialized, r.status(id).Status)

	w := r.poll(work.RoleHelper, cluster, time.Second)
	require.NotNil(t, w)
	assert.Equal(t, work.KindCheckpoint, w.Kind)
	assert.Equal(t, "uid", w.Checkpoint.PodUID)
	assert.Equal(t, "ns", w.Checkpoint.Namespace)
	assert.Equal(t, node, w.Checkpoint.NodeName)
	assert.Equal(t, "/runc", w.Checkpoint.RuncRoot)
	assert.Equal(t, &propagator.CheckpointOverrides{Compression: "lz4"}, w.Checkpoint.Overrides)
	var pod map[string]any
	require.NoError(t, json.Unmarshal(w.Checkpoint.Pod, &pod))
	assert.NotContains(t, pod, "type", "the sync's tag is no field of a pod")
	assert.Contains(t, pod, "spec")
	assert.Equal(t, propagator.StatusProcessing, r.status(id).Status)

	var containers []work.ContainerCheckpoint
	for i, name := range []string{"first", "second"} {
		row := w.Checkpoint.CheckpointID // the first container's, which is there from the beginning
		if i > 0 {
			row = r.newRow()
		}
		assert.Equal(t, propagator.CheckpointInitializing, r.rowByID(row).Status)
		info, err := json.Marshal(propagator.CheckpointInfo{ActionID: id, CRIU: "4.2.1", Freeze: 7})
		require.NoError(t, err)
		r.putInfo(row, propagator.CheckpointInfoRequest{GPU: "none", Platform: "linux/amd64", Info: info})
		assert.Equal(t, propagator.CheckpointUpdatedInfo, r.rowByID(row).Status)
		c := r.put(name+".tar", []byte(name))
		r.ask("POST", "/v1/checkpoints/uploaded/"+row, propagator.UploadedRequest{RestorePath: c.Path})
		assert.Equal(t, propagator.CheckpointPossiblyUploaded, r.rowByID(row).Status)
		assert.Equal(t, propagator.StatusCheckpointCreated, r.status(id).Status, "container %d", i)
		c.Container, c.CheckpointID = name, row
		containers = append(containers, c)
	}
	code, body := r.result(w.ID, work.Result{Containers: containers, TotalDuration: 11, TotalIO: 13})
	require.Equal(t, 200, code, body)

	got, err := r.client.Wait(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, propagator.StatusReady, got.Status)

	a, err := r.client.Action(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, containers[0].CheckpointID, a.CheckpointID, "the first container's")
	assert.Equal(t, "ready", a.Status)
	assert.Equal(t, "linux/amd64", a.Platform)
	assert.Equal(t, cluster, a.ClusterID())
	assert.Equal(t, node, a.NodeName)
	assert.EqualValues(t, 11, a.TotalDuration)
	assert.EqualValues(t, 13, a.TotalIO)
	require.NotNil(t, a.ActionTimestamp)
	require.NotNil(t, a.CheckpointCompletedTimestamp)
	assert.False(t, a.CheckpointCompletedTimestamp.Before(*a.ActionTimestamp))

	for i, name := range []string{"first", "second"} {
		row := r.rowByID(containers[i].CheckpointID)
		assert.Equal(t, propagator.CheckpointReady, row.Status)
		assert.Equal(t, "ns/app/"+name, row.Name)
		assert.Equal(t, containers[i].SHA256, row.Checksum)
		var info propagator.CheckpointInfo
		require.NoError(t, json.Unmarshal(row.Info, &info))
		require.NotNil(t, info.CreatedAt)
		info.CreatedAt = nil
		assert.Equal(t, propagator.CheckpointInfo{
			Size: int64(len(name)), ClusterID: cluster, ActionID: id, PodName: "app", Namespace: "ns", Container: name,
			NodeName: node, CRIU: "4.2.1", Freeze: 7,
		}, info)
	}

	code, _, body = r.send("GET", "/internal/v1/checkpoints/"+id+"/manifest?namespace=ns", nil)
	require.Equal(t, 200, code, body)
	var manifest work.Manifest
	require.NoError(t, json.Unmarshal([]byte(body), &manifest))
	require.Len(t, manifest.Containers, 2)
	assert.Equal(t, "second.tar", manifest.Containers[1].Path)
	assert.Equal(t, containers[1].SHA256, manifest.Containers[1].SHA256)
}

func (r *rig) rowByID(id string) propagator.Checkpoint {
	r.Helper()
	rows, err := r.client.Checkpoints(r.Context(), propagator.CheckpointFilter{IDs: []string{id}})
	require.NoError(r, err)
	require.Len(r, rows, 1)
	return rows[0]
}

func TestAResultAloneMakesACheckpointReady(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	id := r.checkpoint(cluster, "uid")
	assert.Equal(t, propagator.StatusReady, r.status(id).Status)
	row := r.row(id)
	assert.Equal(t, propagator.CheckpointReady, row.Status)
	assert.Equal(t, "linux/amd64", row.Platform)
}

// Nothing is ready that is not in the store as it was reported.
func TestACheckpointWhoseArchiveIsNotThereIsNotReady(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*rig, *work.Result){
		"missing":      func(_ *rig, res *work.Result) { res.Containers[0].Path = "elsewhere.tar" },
		"other sum":    func(_ *rig, res *work.Result) { res.Containers[0].SHA256 = "00" },
		"other size":   func(_ *rig, res *work.Result) { res.Containers[0].Size++ },
		"outside":      func(_ *rig, res *work.Result) { res.Containers[0].Path = "../propagator.db" },
		"nameless":     func(_ *rig, res *work.Result) { res.Containers[0].Container = "" },
		"no container": func(_ *rig, res *work.Result) { res.Containers = nil },
		"replaced by something else": func(r *rig, res *work.Result) {
			r.put(res.Containers[0].Path, []byte("other"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			_, id, w := r.taken()
			c := r.put("a.tar", []byte("content"))
			c.Container = "main"
			res := work.Result{Containers: []work.ContainerCheckpoint{c}}
			spoil(r, &res)
			code, body := r.result(w.ID, res)
			assert.Equal(t, 400, code, body)
			assert.NotEmpty(t, r.ends(id))
		})
	}
}

func TestAnArchiveIsCheckedAgainstItsSum(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	code, _, body, err := r.try(t.Context(), "PUT", "/internal/v1/blobs/a", canary, "content", http.Header{work.HeaderSHA256: {"00"}})
	require.NoError(t, err)
	assert.Equal(t, 400, code, body)
	code, _, _ = r.send("GET", "/internal/v1/blobs/a", nil)
	assert.Equal(t, 404, code, "nothing of it may stay")
}

func TestWorkThatNobodyTakesEndsInError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *Config) { c.Pickup = 50 * time.Millisecond })
		cluster := r.pod("c", "uid")
		id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
		require.NoError(t, err)
		assert.Contains(t, r.ends(id), "no helper on node node-0 took the work within 50ms: see whether its pod runs")
		assert.Nil(t, r.poll(work.RoleHelper, cluster, 0), "nobody may take it any more")
	})
}

func TestARestoreWithoutAManagerEndsInError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *Config) { c.Pickup = 2 * time.Second })
		cluster := r.pod("c", "uid")
		source := r.checkpoint(cluster, "uid")
		id, err := r.client.RestorePod(t.Context(), propagator.RestorePodRequest{ActionID: source})
		require.NoError(t, err)
		assert.Contains(t, r.ends(id), "no manager of cluster "+cluster)
	})
}

func TestASilentWorkerLosesItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *Config) { c.Lease = 100 * time.Millisecond })
		_, id, w := r.taken()
		assert.Contains(t, r.ends(id), "no sign of life for 100ms")
		code, _, body := r.send("POST", "/internal/v1/work/"+w.ID+"/renew", nil)
		assert.Equal(t, 404, code)
		assert.Contains(t, body, "no sign of life")
		code, body = r.result(w.ID, work.Result{})
		assert.Equal(t, 404, code, body)
	})
}

func TestAWorkerThatRenewsKeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *Config) { c.Lease = 2 * time.Second })
		_, id, w := r.taken()
		for range 8 {
			time.Sleep(400 * time.Millisecond)
			code, _, body := r.send("POST", "/internal/v1/work/"+w.ID+"/renew", nil)
			require.Equal(t, 200, code, body)
		}
		assert.Equal(t, propagator.StatusProcessing, r.status(id).Status)
	})
}

func TestAnActionThatTakesForEverEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *Config) { c.ActionTimeout = 2 * time.Second })
		cluster := r.pod("c", "uid")
		id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
		require.NoError(t, err)
		require.NotNil(t, r.poll(work.RoleHelper, cluster, time.Second))
		assert.Equal(t, "not done within 2s, last state processing", r.ends(id))
	})
}

func TestAFailedCheckpointLeavesNoLiveRows(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	_, id, w := r.taken()
	row := r.newRow()
	r.putInfo(row, propagator.CheckpointInfoRequest{GPU: "none", Platform: "p", Info: json.RawMessage(`{"action_id":"` + id + `"}`)})
	code, _ := r.result(w.ID, work.Result{Error: "disk full"})
	require.Equal(t, 200, code)
	assert.Equal(t, "disk full", r.ends(id))
	assert.Equal(t, propagator.CheckpointDeprecated, r.rowByID(row).Status)
}

func TestTheSameResultTwiceIsTheSameAnswer(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	id := r.checkpoint(cluster, "uid")
	code, body := r.result(id, work.Result{})
	assert.Equal(t, 200, code, "the first answer may have been lost: %s", body)
	code, _ = r.result(id, work.Result{Error: "late failure"})
	assert.Equal(t, 404, code)
	code, _ = r.result(unknown, work.Result{})
	assert.Equal(t, 404, code)
	assert.Equal(t, propagator.StatusReady, r.status(id).Status)
	code, _, body = r.send("POST", "/internal/v1/work/"+id+"/renew", nil)
	assert.Equal(t, 200, code, body)
}

func TestARestoreIsReadyWhenItsManagerSaysSo(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	source := r.checkpoint(cluster, "uid")
	other := r.cluster("other")
	id, err := r.client.RestorePod(t.Context(), propagator.RestorePodRequest{
		ActionID: source, ClusterID: other, Overrides: &propagator.RestoreOverrides{PodName: "app-again"},
	})
	require.NoError(t, err)
	assert.Nil(t, r.poll(work.RoleManager, cluster, 0), "it is the other cluster's")
	w := r.poll(work.RoleManager, other, time.Second)
	require.NotNil(t, w)
	assert.Equal(t, work.KindRestore, w.Kind)
	assert.Equal(t, source, w.Restore.CheckpointActionID)
	assert.Equal(t, "app-again", w.Restore.PodName)
	assert.Contains(t, string(w.Restore.Pod), `"uid"`)

	code, body := r.result(w.ID, work.Result{PodName: "app-again", NodeName: "node-7"})
	require.Equal(t, 200, code, body)
	_, err = r.client.Wait(t.Context(), id)
	require.NoError(t, err)
	a, err := r.client.Action(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, "node-7", a.NodeName)
	assert.Equal(t, other, a.ClusterID())
	assert.Equal(t, r.row(source).ID, a.CheckpointID)
	var details map[string]string
	require.NoError(t, json.Unmarshal(a.Details, &details))
	assert.Equal(t, map[string]string{
		"pod_name": "app", "namespace": "ns", "cluster_id": other, "restored_pod": "app-again", "source_action_id": source,
	}, details)
}

func TestARestoreThatCriuRefusesEndsAtOnceWithItsReason(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	id := r.restore(cluster, r.checkpoint(cluster, "uid"))
	const reason = "criu: Can't bind inet socket back: Cannot assign requested address"
	require.NoError(t, r.client.PutRestoreInfo(t.Context(), id, propagator.RestoreInfoRequest{Error: reason}))
	assert.Equal(t, reason, r.ends(id))
	require.NoError(t, r.client.PutRestoreInfo(t.Context(), id, propagator.RestoreInfoRequest{Error: "the kubelet tried again"}))
	assert.Equal(t, reason, r.ends(id), "the first reason stays")
	code, _, body := r.send("POST", "/internal/v1/work/"+id+"/renew", nil)
	assert.Equal(t, 404, code, "so the manager hears of it")
	assert.Contains(t, body, "Can't bind inet socket back")
	code, _ = r.result(id, work.Result{PodName: "x"})
	assert.Equal(t, 404, code)
}

func TestARestoreErrorEventEndsItToo(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	id := r.restore(cluster, r.checkpoint(cluster, "uid"))
	code, _, body := r.send("POST", "/v1/restores/events/restore_error", map[string]string{"restore_uuid": id, "error_message": "no memory"})
	require.Equal(t, 200, code, body)
	assert.Equal(t, "no memory", r.ends(id))
}

func TestADeprecatedCheckpointIsNotRestored(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	source := r.checkpoint(cluster, "uid")
	require.NoError(t, r.client.Deprecate(t.Context(), r.row(source).ID))
	assert.Equal(t, propagator.CheckpointDeprecated, r.row(source).Status)
	_, err := r.client.RestorePod(t.Context(), propagator.RestorePodRequest{ActionID: source})
	require.ErrorContains(t, err, "is deprecated")
}

func TestTheUploadedPodIsTheOneRestored(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	source := r.checkpoint(cluster, "uid")
	r.ask("POST", "/v1/actions/upload", propagator.CheckpointStatusWithPodSpec{
		ActionID: source, Status: "ready", PodSpec: json.RawMessage(`{"nodeName":"uploaded"}`),
	})
	_, err := r.client.RestorePod(t.Context(), propagator.RestorePodRequest{ActionID: source})
	require.NoError(t, err)
	w := r.poll(work.RoleManager, cluster, time.Second)
	var pod struct {
		Metadata struct{ Name string }
		Spec     struct{ NodeName string }
	}
	require.NoError(t, json.Unmarshal(w.Restore.Pod, &pod))
	assert.Equal(t, "uploaded", pod.Spec.NodeName)
	assert.Equal(t, "app", pod.Metadata.Name, "what was not uploaded stays as synced")
}

func TestAClusterIsUpsertedByName(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	first := r.cluster("same")
	assert.Equal(t, first, r.cluster("same"))
	assert.NotEqual(t, first, r.cluster("other"))
	rows, err := r.client.Clusters(t.Context())
	require.NoError(t, err)
	assert.Len(t, rows, 2)
}

func TestDeletingAClusterTakesAllOfItAndNothingElse(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	ctx := t.Context()
	doomed, kept := r.pod("doomed", "uid-1"), r.pod("kept", "uid-2")
	for _, c := range []string{doomed, kept} {
		r.sync(c, map[string]any{"type": "Node", "metadata": map[string]any{"name": node}}, false)
	}
	lost, stays := r.checkpoint(doomed, "uid-1"), r.checkpoint(kept, "uid-2")
	open, err := r.client.CheckpointPod(ctx, propagator.CheckpointPodRequest{PodID: "uid-1"})
	require.NoError(t, err)
	polled := make(chan int, 1)
	go func() {
		code, _, _, err := r.try(context.Background(), "GET", "/internal/v1/work?role=manager&wait=200ms&cluster_id="+doomed, canary, nil, nil)
		if err != nil {
			code = -1
		}
		polled <- code
	}()

	require.NoError(t, r.client.DeleteCluster(ctx, doomed))

	rows, err := r.client.Clusters(ctx)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	assert.Equal(t, kept, rows[0].ID)
	for _, id := range []string{lost, open} {
		_, err := r.client.Status(ctx, id)
		assert.True(t, propagator.IsNotFound(err), "got %v", err)
	}
	assert.Equal(t, propagator.StatusReady, r.status(stays).Status)
	checkpoints, err := r.client.Checkpoints(ctx, propagator.CheckpointFilter{})
	require.NoError(t, err)
	assert.Len(t, checkpoints, 1)
	r.view(func(tx *store.Tx) {
		pods, _ := tx.Pods.Where("", nil)
		nodes, _ := tx.Nodes.Where("", nil)
		specs, _ := tx.Specs.Where("", nil)
		assert.Len(t, pods, 1)
		assert.Len(t, nodes, 1)
		assert.Len(t, specs, 1)
	})
	assert.Contains(t, []int{204, 404}, <-polled)
	code, _, _ := r.send("GET", "/internal/v1/work?role=helper&node=n&cluster_id="+doomed, nil)
	assert.Equal(t, 404, code, "its workers learn of it")
}

func TestPodsComeChangeAndGo(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	ctx := t.Context()
	cluster := r.cluster("c")
	try := func() error {
		_, err := r.client.CheckpointPod(ctx, propagator.CheckpointPodRequest{PodID: "uid"})
		return err
	}
	require.ErrorContains(t, try(), "has not been reported")
	r.sync(cluster, podObject("uid", "app", "Pending", ""), false)
	require.ErrorContains(t, try(), `is in phase "Pending"`)
	r.sync(cluster, podObject("uid", "app", "Running", node), false)
	require.NoError(t, try())
	r.sync(cluster, podObject("uid", "app", "Failed", node), false)
	require.ErrorContains(t, try(), `is in phase "Failed"`)
	r.sync(cluster, podObject("uid", "app", "Running", node), false)
	r.sync(cluster, podObject("uid", "app", "Running", node), true)
	require.ErrorContains(t, try(), "has not been reported")

	r.sync(cluster, podObject("uid", "app", "Running", node), false)
	r.sync(cluster, map[string]any{"type": "Pod", "metadata": map[string]any{"name": "app", "namespace": "ns"}}, true)
	require.ErrorContains(t, try(), "has not been reported", "gone by name")

	clusters, err := r.client.Clusters(ctx)
	require.NoError(t, err)
	require.NotNil(t, clusters[0].LastSync)
	assert.WithinDuration(t, time.Now(), *clusters[0].LastSync, time.Minute)
}

func TestOfPodsOfOneNameTheRunningOneIsMeant(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.cluster("c")
	r.sync(cluster, podObject("a-old", "app", "Succeeded", node), false)
	r.sync(cluster, podObject("b-new", "app", "Running", node), false)
	r.sync(cluster, podObject("c-longer", "app-restored", "Running", node), false)
	id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodName: "app", Namespace: "ns"})
	require.NoError(t, err)
	w := r.poll(work.RoleHelper, cluster, time.Second)
	require.Equal(t, id, w.ActionID)
	assert.Equal(t, "b-new", w.Checkpoint.PodUID)
}

func TestWorkGoesToItsNodeAlone(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	other := r.cluster("other")
	_, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
	require.NoError(t, err)
	assert.Nil(t, r.pollAs(work.RoleHelper, cluster, "node-1", 0))
	assert.Nil(t, r.pollAs(work.RoleHelper, other, node, 0))
	assert.Nil(t, r.pollAs(work.RoleManager, cluster, node, 0))
	assert.NotNil(t, r.pollAs(work.RoleHelper, cluster, node, 0))
	assert.Nil(t, r.pollAs(work.RoleHelper, cluster, node, 0), "and once")
}

func TestOfOnePodOneCheckpointAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *Config) { c.Pickup = 2 * time.Second })
		cluster := r.pod("c", "uid")
		var ids []string
		for range 2 {
			id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
			require.NoError(t, err)
			ids = append(ids, id)
		}
		first := r.poll(work.RoleHelper, cluster, time.Second)
		require.Equal(t, ids[0], first.ActionID)
		assert.Nil(t, r.poll(work.RoleHelper, cluster, 2500*time.Millisecond))
		assert.Equal(t, propagator.StatusInitialized, r.status(ids[1]).Status, "waiting for its turn is not waiting for a helper")
		code, _ := r.result(first.ID, work.Result{Error: "x"})
		require.Equal(t, 200, code)
		second := r.poll(work.RoleHelper, cluster, time.Second)
		require.NotNil(t, second)
		assert.Equal(t, ids[1], second.ActionID)
	})
}

func TestAPollThatBrokeOffGivesItsWorkBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		cluster := r.pod("c", "uid")
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, _, _, err := r.try(ctx, "GET", "/internal/v1/work?role=helper&wait=10s&node="+node+"&cluster_id="+cluster, canary, nil, nil)
			gone <- err
		}()
		time.Sleep(50 * time.Millisecond)
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		time.Sleep(50 * time.Millisecond) // until the server has seen it
		id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
		require.NoError(t, err)
		w := r.poll(work.RoleHelper, cluster, time.Second)
		require.NotNil(t, w)
		assert.Equal(t, id, w.ActionID)
	})
}

func TestWorkIsHandedToWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		cluster := r.pod("c", "uid")
		taken := make(chan time.Time, 1)
		go func() {
			_, _, _, err := r.try(context.Background(), "GET", "/internal/v1/work?role=helper&wait=10s&node="+node+"&cluster_id="+cluster, canary, nil, nil)
			if err == nil {
				taken <- time.Now()
			}
		}()
		time.Sleep(50 * time.Millisecond)
		begin := time.Now()
		_, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid"})
		require.NoError(t, err)
		select {
		case at := <-taken:
			t.Logf("handed out after %s", at.Sub(begin))
		case <-time.After(5 * time.Second):
			t.Fatal("the waiting helper got nothing")
		}
	})
}

func TestBadPollsAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.cluster("c")
	for query, code := range map[string]int{
		"role=cook&cluster_id=" + cluster:                     400,
		"role=helper&cluster_id=" + cluster:                   400,
		"role=manager&cluster_id=x":                           400,
		"role=manager&wait=soon&cluster_id=" + cluster:        400,
		"role=manager&cluster_id=" + unknown:                  404,
		"role=manager&wait=0s&cluster_id=" + cluster:          204,
		"role=helper&node=n&wait=1ms&cluster_id=" + cluster:   204,
		"role=helper&node=n&wait=-1s&cluster_id=" + cluster:   400,
		"role=manager&node=any&wait=0s&cluster_id=" + cluster: 204,
	} {
		got, _, body := r.send("GET", "/internal/v1/work?"+query, nil)
		assert.Equal(t, code, got, "%s: %s", query, body)
	}
}

func TestAStatusIsHeldUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *Config) { c.StatusHold = 10 * time.Second })
		_, id, w := r.taken()
		time.AfterFunc(100*time.Millisecond, func() {
			_, _, _, _ = r.try(context.Background(), "POST", "/internal/v1/work/"+w.ID+"/result", canary, work.Result{Error: "x"}, nil)
		})
		begin := time.Now()
		assert.Equal(t, propagator.StatusError, r.status(id).Status)
		assert.Less(t, time.Since(begin), 5*time.Second)
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.cluster("c")
	const pods = 24
	for i := range pods {
		uid := "uid-" + string(rune('a'+i))
		r.sync(cluster, podObject(uid, "app-"+uid, "Running", node), false)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4*pods)
	for range 4 {
		wg.Go(func() {
			for {
				code, _, body, err := r.try(context.Background(), "GET", "/internal/v1/work?role=helper&wait=1s&node="+node+"&cluster_id="+cluster, canary, nil, nil)
				if err != nil || code == 204 {
					errs <- err
					return
				}
				var w work.Work
				if err := json.Unmarshal([]byte(body), &w); err != nil {
					errs <- err
					return
				}
				path := "/internal/v1/blobs/" + w.ID
				_, header, _, err := r.try(context.Background(), "PUT", path, canary, "x", nil)
				errs <- err
				_, _, _, err = r.try(context.Background(), "POST", "/internal/v1/work/"+w.ID+"/result", canary, work.Result{
					Containers: []work.ContainerCheckpoint{{Container: "main", Path: w.ID, SHA256: header.Get(work.HeaderSHA256), Size: 1}},
				}, nil)
				errs <- err
			}
		})
	}
	for i := range pods {
		wg.Go(func() {
			uid := "uid-" + string(rune('a'+i))
			id, err := r.client.CheckpointPod(context.Background(), propagator.CheckpointPodRequest{PodID: uid})
			if err == nil {
				_, err = r.client.Wait(context.Background(), id)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		assert.NoError(t, err)
	}
}

func TestArchivesThatNobodyNeedsAreRemoved(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Retention, c.ActionTimeout = time.Minute, time.Hour })
	cluster := r.pod("c", "uid")
	live, old, used := r.checkpoint(cluster, "uid"), r.checkpoint(cluster, "uid"), r.checkpoint(cluster, "uid")
	restore := r.restore(cluster, used)
	for _, id := range []string{old, used} {
		require.NoError(t, r.client.Deprecate(t.Context(), r.row(id).ID))
	}
	r.put("orphan/deep/a.tar", []byte("orphan"))
	forgotten := r.newRow()
	exists := func(id string) bool {
		code, _, _ := r.send("GET", "/internal/v1/checkpoints/"+id+"/manifest?namespace=ns", nil)
		return code == 200
	}
	orphan := filepath.Join(r.dir, "archives", "orphan")

	require.NoError(t, r.server.removeArchives())
	assert.True(t, exists(live) && exists(old) && exists(used), "all are young")
	assert.DirExists(t, orphan)

	r.age(2 * time.Minute)
	require.NoError(t, r.server.removeArchives())
	assert.True(t, exists(live))
	assert.False(t, exists(old), "deprecated for longer than the retention")
	assert.True(t, exists(used), "a restore is using it")
	assert.DirExists(t, orphan, "an action may still claim it")

	r.age(2 * time.Hour)
	code, _ := r.result(restore, work.Result{PodName: "p"})
	require.Contains(t, []int{200, 404}, code)
	require.NoError(t, r.server.removeArchives())
	assert.True(t, exists(live))
	assert.False(t, exists(used), "the restore is over")
	assert.NoDirExists(t, orphan)
	rows, err := r.client.Checkpoints(t.Context(), propagator.CheckpointFilter{IDs: []string{forgotten}})
	require.NoError(t, err)
	assert.Empty(t, rows)
	assert.Equal(t, propagator.CheckpointDeprecated, r.row(old).Status, "the row tells of it still")
}

// age makes everything in the store older by d.
func (r *rig) age(d time.Duration) {
	r.Helper()
	require.NoError(r, r.server.store.Update(func(tx *store.Tx) error {
		rows, err := tx.Checkpoints.Where("", nil)
		if err != nil {
			return err
		}
		for _, row := range rows {
			row.Created = row.Created.Add(-d)
			if row.Deprecated != nil {
				at := row.Deprecated.Add(-d)
				row.Deprecated = &at
			}
			if err := tx.Checkpoints.Put(row.ID, row); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(r, filepath.WalkDir(filepath.Join(r.dir, "archives"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		at := time.Now().Add(-d)
		return errors.Join(os.Chtimes(path, at, at))
	}))
}

// BenchmarkCheckpoint is the propagator's own part of a checkpoint: the POST, the work, an archive of 640 kB, the
// result, and the client's hearing of it.
func BenchmarkCheckpoint(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), Token: canary})
	require.NoError(b, err)
	defer func() { require.NoError(b, s.Close()) }()
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	defer s.Stop()
	c, err := propagator.New(web.URL, canary)
	require.NoError(b, err)
	r := &rig{T: &testing.T{}, server: s, url: web.URL, transport: http.DefaultTransport, client: c}
	ctx := context.Background()
	cluster, err := c.CreateCluster(ctx, "c")
	require.NoError(b, err)
	object, err := json.Marshal(podObject("uid", "app", "Running", node))
	require.NoError(b, err)
	require.NoError(b, c.SyncCluster(ctx, propagator.ClusterSyncRequest{ClusterID: cluster, Resource: object}))
	archive := make([]byte, 640<<10)
	go func() {
		for {
			code, _, body, err := r.try(ctx, "GET", "/internal/v1/work?role=helper&wait=5s&node="+node+"&cluster_id="+cluster, canary, nil, nil)
			if err != nil {
				return
			}
			if code != 200 {
				continue
			}
			var w work.Work
			if json.Unmarshal([]byte(body), &w) != nil {
				return
			}
			_, header, _, err := r.try(ctx, "PUT", "/internal/v1/blobs/"+w.ID, canary, archive, nil)
			if err != nil {
				return
			}
			_, _, _, _ = r.try(ctx, "POST", "/internal/v1/work/"+w.ID+"/result", canary, work.Result{Containers: []work.ContainerCheckpoint{
				{Container: "main", Path: w.ID, SHA256: header.Get(work.HeaderSHA256), Size: int64(len(archive))},
			}}, nil)
		}
	}()
	for b.Loop() {
		id, err := c.CheckpointPod(ctx, propagator.CheckpointPodRequest{PodID: "uid"})
		require.NoError(b, err)
		_, err = c.Wait(ctx, id)
		require.NoError(b, err)
	}
}
