package server

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// broken is a server that shows one regression.
func broken(t *testing.T, name fault.Name) *rig {
	return start(t, func(c *Config) { c.Regression = name })
}

func (r *rig) manifest(action string) work.Manifest {
	r.Helper()
	code, _, body := r.send("GET", "/internal/v1/checkpoints/"+action+"/manifest", nil)
	require.Equal(r, http.StatusOK, code, body)
	var m work.Manifest
	require.NoError(r, json.Unmarshal([]byte(body), &m))
	return m
}

func TestARegressionGoesWithTheWork(t *testing.T) {
	t.Parallel()
	for _, name := range []fault.Name{"", fault.ColdStart} {
		r := broken(t, name)
		cluster := r.pod("a", unknown)
		_, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: unknown, ClusterID: cluster})
		require.NoError(t, err)
		require.Equal(t, name, r.poll(work.RoleHelper, cluster, 5*time.Second).Regression)
	}
}

func TestAnOlderCheckpointIsHandedOut(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.OlderCheckpoint)
	cluster := r.pod("a", unknown)
	older, newer := r.checkpoint(cluster, unknown), r.checkpoint(cluster, unknown)
	require.Contains(t, r.manifest(newer).Containers[0].Path, older)
	require.Contains(t, r.manifest(older).Containers[0].Path, older, "there is no older one")
}

func TestAnotherPodsCheckpointIsHandedOut(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.OtherPod)
	cluster := r.pod("a", unknown)
	other := uuid.NewString()
	r.sync(cluster, podObject(other, "other", "Running", node), false)
	mine, others := r.checkpoint(cluster, unknown), r.checkpoint(cluster, other)
	require.Contains(t, r.manifest(mine).Containers[0].Path, others)
}

func TestTheFirstGenerationIsHandedOut(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.FirstGeneration)
	cluster := r.pod("a", unknown)
	first := r.checkpoint(cluster, unknown)
	restored := podObject(uuid.NewString(), "app-restored", "Running", node)
	meta := restored["metadata"].(map[string]any)
	meta["annotations"] = map[string]string{work.AnnotationCheckpoint: first}
	r.sync(cluster, restored, false)
	second := r.checkpoint(cluster, meta["uid"].(string))
	require.Contains(t, r.manifest(second).Containers[0].Path, first)
}

func TestListsAreWrong(t *testing.T) {
	t.Parallel()
	// Not by the client, which filters once more.
	count := func(r *rig, cluster string) (actions, checkpoints int) {
		var rows []json.RawMessage
		for path, n := range map[string]*int{"actions": &actions, "checkpoints": &checkpoints} {
			_, _, body := r.send("GET", "/v2/"+path+"?cluster_id="+cluster, nil)
			require.NoError(t, json.Unmarshal([]byte(body), &rows))
			*n = len(rows)
		}
		return actions, checkpoints
	}
	for name, want := range map[fault.Name][4]int{
		"":                         {1, 1, 0, 0},
		fault.ActionNotListed:      {0, 1, 0, 0},
		fault.CheckpointNotListed:  {1, 0, 0, 0},
		fault.ClusterFilterIgnored: {1, 1, 1, 1},
	} {
		r := broken(t, name)
		cluster, other := r.pod("a", unknown), r.cluster("b")
		r.checkpoint(cluster, unknown)
		var got [4]int
		got[0], got[1] = count(r, cluster)
		got[2], got[3] = count(r, other)
		require.Equal(t, want, got, name)
	}
}

func TestDeprecationIsIgnored(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]propagator.CheckpointStatus{
		"": propagator.CheckpointDeprecated, fault.DeprecateIgnored: propagator.CheckpointReady,
	} {
		r := broken(t, name)
		action := r.checkpoint(r.pod("a", unknown), unknown)
		require.NoError(t, r.client.Deprecate(t.Context(), r.row(action).ID))
		require.Equal(t, want, r.row(action).Status, name)
	}
}

func TestADeprecatedCheckpointIsRestored(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.DeprecatedRestorable)
	cluster := r.pod("a", unknown)
	action := r.checkpoint(cluster, unknown)
	require.NoError(t, r.client.Deprecate(t.Context(), r.row(action).ID))
	r.restore(cluster, action)
}

func TestAStrangerIsLetIn(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]int{"": http.StatusUnauthorized, fault.WrongTokenAccepted: http.StatusOK} {
		code, _, _, err := broken(t, name).try(t.Context(), "GET", "/v1/user", "not-the-token", nil, nil)
		require.NoError(t, err)
		require.Equal(t, want, code, name)
	}
}

func TestAnUnknownPodIsAnsweredWithAnID(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.UnknownPodAccepted)
	id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: unknown, ClusterID: r.cluster("a")})
	require.NoError(t, err)
	require.NoError(t, uuid.Validate(id))
}

func TestStatusesAreWrong(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.StatusWordWrong)
	require.EqualValues(t, "done", r.status(r.checkpoint(r.pod("a", unknown), unknown)).Status)

	r = broken(t, fault.NeverFinishes)
	require.EqualValues(t, propagator.StatusProcessing, r.status(r.checkpoint(r.pod("a", unknown), unknown)).Status)

	r = broken(t, fault.ErrorWithoutDetails)
	cluster := r.pod("a", unknown)
	id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: unknown, ClusterID: cluster})
	require.NoError(t, err)
	w := r.poll(work.RoleHelper, cluster, 5*time.Second)
	code, body := r.result(w.ID, work.Result{Error: "the reason"})
	require.Equal(t, http.StatusOK, code, body)
	require.Equal(t, propagator.Status{Status: propagator.StatusError}, r.status(id))
}

func TestReadyBeforeItsArchiveIsStored(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.ReadyBeforeStored)
	cluster := r.pod("a", unknown)
	id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: unknown, ClusterID: cluster})
	require.NoError(t, err)
	w := r.poll(work.RoleHelper, cluster, 5*time.Second)
	code, body := r.result(w.ID, work.Result{Containers: []work.ContainerCheckpoint{{Container: "main", Path: "nowhere.tar"}}})
	require.Equal(t, http.StatusOK, code, body)
	require.EqualValues(t, propagator.StatusReady, r.status(id).Status)
}

func TestHalfAnArchiveComesBack(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.ArchiveTruncated)
	r.put("an/archive", []byte("twelve bytes"))
	_, _, body := r.send("GET", "/internal/v1/blobs/an/archive", nil)
	require.Equal(t, "twelve", body)
}

func TestTheNodeOfARestoreIsWrong(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.NodeMisreported)
	cluster := r.pod("a", unknown)
	restore := r.restore(cluster, r.checkpoint(cluster, unknown))
	code, body := r.result(restore, work.Result{PodName: "app-restored", NodeName: node})
	require.Equal(t, http.StatusOK, code, body)
	a, err := r.client.Action(t.Context(), restore)
	require.NoError(t, err)
	require.NotEqual(t, node, a.NodeName)
}

func TestClustersAreNotWhatTheyWere(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.ClusterTwice)
	require.NotEqual(t, r.cluster("a"), r.cluster("a"))

	r = broken(t, fault.ClusterStays)
	id := r.cluster("a")
	require.NoError(t, r.client.DeleteCluster(t.Context(), id))
	require.Equal(t, id, r.cluster("a"))
}

func TestACheckpointsInfoNamesAnotherPod(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.InfoOfAnotherPod)
	require.Contains(t, string(r.row(r.checkpoint(r.pod("a", unknown), unknown)).Info), `"pod_name":"another-app"`)
}

func TestAnUnknownRegressionStopsThePropagator(t *testing.T) {
	t.Parallel()
	_, err := parse(nil, func(name string) string {
		return map[string]string{tokenVariable: "hush", fault.Variable: "everything"}[name]
	})
	require.ErrorContains(t, err, "E2E_REGRESSION")
}
