package server

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

const replica = "1b6c1f0e-6a0b-4a51-9d1b-1f2e3d4c5b6b"

// named makes a ready checkpoint of a pod whose container main declares a name, and returns its action's id.
func (r *rig) named(cluster, uid, name string) string {
	r.Helper()
	id, err := r.client.CheckpointPod(r.Context(), propagator.CheckpointPodRequest{PodID: uid, ClusterID: cluster})
	require.NoError(r, err)
	w := r.poll(work.RoleHelper, cluster, 5*time.Second)
	require.NotNil(r, w)
	c := r.put("checkpoints/"+id+".tar", []byte("archive of "+id))
	c.Container, c.Name = "main", name
	code, body := r.result(w.ID, work.Result{Containers: []work.ContainerCheckpoint{c}})
	require.Equal(r, http.StatusOK, code, body)
	return id
}

// choose asks for the checkpoint of container main of a new pod, with changes to the question.
func (r *rig) choose(cluster, name string, changes ...func(*work.Declared)) (string, int) {
	r.Helper()
	ask := work.Declared{ClusterID: cluster, PodUID: replica, PodName: "app-2", Namespace: "ns", Container: "main", Name: name}
	for _, change := range changes {
		change(&ask)
	}
	code, _, body := r.send("POST", "/internal/v1/restores/declared", ask)
	var choice work.Choice
	if code == http.StatusOK {
		require.NoError(r, json.Unmarshal([]byte(body), &choice))
	}
	return choice.ActionID, code
}

func TestADeclaredRestoreTakesTheNewestReadyCheckpointOfItsName(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("a", unknown)
	first := r.named(cluster, unknown, "jobs")
	second := r.named(cluster, unknown, "jobs")
	r.named(cluster, unknown, "other")
	r.checkpoint(cluster, unknown)

	chosen, _ := r.choose(cluster, "jobs")
	require.Equal(t, second, chosen)
	chosen, _ = r.choose(cluster, "jobs", func(d *work.Declared) { d.ActionID = first })
	require.Equal(t, first, chosen, "as the pod's other containers")
	require.Equal(t, "jobs", r.row(second).Name)
	code, _, path := r.send("GET", "/v2/checkpoint/path?name=jobs", nil)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "checkpoints/"+second+".tar", path)

	require.NoError(t, r.client.Deprecate(t.Context(), r.row(second).ID))
	chosen, _ = r.choose(cluster, "jobs")
	require.Equal(t, first, chosen, "the newer one was given up")
}

func TestADeclaredRestoreStaysInItsNamespaceClusterAndContainer(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("a", unknown)
	id := r.named(cluster, unknown, "jobs")
	for what, change := range map[string]func(*work.Declared){
		"another namespace": func(d *work.Declared) { d.Namespace = "theirs" },
		"another container": func(d *work.Declared) { d.Container = "sidecar" },
		"another name":      func(d *work.Declared) { d.Name = "job" },
		"another cluster":   func(d *work.Declared) { d.ClusterID = r.cluster("b") },
	} {
		chosen, code := r.choose(cluster, "jobs", change)
		require.Equal(t, http.StatusOK, code, what)
		require.Empty(t, chosen, what)
		chosen, _ = r.choose(cluster, "jobs", change, func(d *work.Declared) { d.ActionID = id })
		require.Empty(t, chosen, "%s, by the id", what)
	}
	// The pod is known to be in a namespace: nobody may say otherwise.
	r.sync(cluster, podObject(replica, "app-2", "Pending", node), false)
	_, code := r.choose(cluster, "jobs", func(d *work.Declared) { d.Namespace = "theirs" })
	require.Equal(t, http.StatusForbidden, code)
	for what, change := range map[string]func(*work.Declared){
		"no name":      func(d *work.Declared) { d.Name = "" },
		"no namespace": func(d *work.Declared) { d.Namespace = "" },
		"no cluster":   func(d *work.Declared) { d.ClusterID = "" },
	} {
		_, code := r.choose(cluster, "jobs", change)
		require.Equal(t, http.StatusBadRequest, code, what)
	}
}

func TestThePodsOfOneNamespaceGetNoArchivesOfAnother(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	id := r.checkpoint(r.pod("a", unknown), unknown)
	for _, query := range []string{"?namespace=theirs", "?namespace=", ""} {
		code, _, body := r.send("GET", "/internal/v1/checkpoints/"+id+"/manifest"+query, nil)
		require.Equal(t, http.StatusForbidden, code, body)
		require.NotContains(t, body, ".tar")
	}
}

func TestTheManagerIsTheOneToSayWhatBecameOfADeclaredRestore(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("a", unknown)
	event := func() work.Event {
		w := r.poll(work.RoleManager, cluster, 5*time.Second)
		require.NotNil(t, w)
		require.Equal(t, work.KindEvent, w.Kind)
		code, _, body := r.send("POST", "/internal/v1/work/"+w.ID+"/result", work.Result{Error: "no right to"})
		require.Equal(t, http.StatusOK, code, body)
		return *w.Event
	}
	_, code := r.choose(cluster, "jobs")
	require.Equal(t, http.StatusOK, code)
	e := event()
	require.Equal(t, work.ReasonColdStart, e.Reason)
	require.Equal(t, []string{replica, "app-2", "ns", "main"}, []string{e.PodUID, e.PodName, e.Namespace, e.Container})
	require.Equal(t, `Container main starts cold: namespace ns has no ready checkpoint of the name "jobs" for it`, e.Message)

	id := r.named(cluster, unknown, "jobs")
	chosen, _ := r.choose(cluster, "jobs")
	require.Equal(t, id, chosen)
	e = event()
	require.Equal(t, work.ReasonRestoring, e.Reason)
	require.Contains(t, e.Message, id)
	require.Nil(t, r.poll(work.RoleManager, cluster, 20*time.Millisecond), "what was answered is done with")
}

func TestACheckpointByNameIsOfTheNewestPodOfThatName(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.cluster("a")
	created := func(uid, at string) map[string]any {
		o := podObject(uid, "app", "Running", node)
		o["metadata"].(map[string]any)["creationTimestamp"] = at
		return o
	}
	r.sync(cluster, created(unknown, "2026-01-01T10:00:00Z"), false)
	r.sync(cluster, created(replica, "2026-01-01T10:00:05Z"), false)
	_, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodName: "app", Namespace: "ns"})
	require.NoError(t, err)
	w := r.poll(work.RoleHelper, cluster, 5*time.Second)
	require.NotNil(t, w)
	require.Equal(t, replica, w.Checkpoint.PodUID)
}
