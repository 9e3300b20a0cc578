package propagatorfault

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/archives"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/server"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

func TestEachFaultOfThePropagatorIsOneThatItCanShow(t *testing.T) {
	t.Parallel()
	for _, f := range fault.All() {
		api, archives := apiFaults[f.Name] != nil, archiveFaults[f.Name] != nil
		require.Equal(t, f.By == fault.Propagator, api || archives, "%s is the %s's", f.Name, f.By)
		require.False(t, api && archives, f.Name)
	}
}

func TestTheWorkersHearOfEveryFault(t *testing.T) {
	t.Parallel()
	for _, name := range []fault.Name{"", fault.ColdStart, fault.ActionNotListed} {
		answer := broken(t, name).try(canary, "GET", "/v1/user", nil)
		require.Equal(t, http.StatusOK, answer.Code)
		require.Equal(t, string(name), answer.Header().Get(relay.Header))
	}
}

func TestAnOlderCheckpointIsHandedOut(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.OlderCheckpoint)
	cluster := r.pod(unknown)
	older, newer := r.checkpoint(cluster, unknown), r.checkpoint(cluster, unknown)
	require.Contains(t, r.manifest(newer).Containers[0].Path, older)
	require.Contains(t, r.manifest(older).Containers[0].Path, older, "there is no older one")
}

func TestAnotherPodsCheckpointIsHandedOut(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.OtherPod)
	cluster := r.pod(unknown)
	other := uuid.NewString()
	r.sync(cluster, other, nil)
	mine, others := r.checkpoint(cluster, unknown), r.checkpoint(cluster, other)
	require.Contains(t, r.manifest(mine).Containers[0].Path, others)
}

func TestADeclaredRestoreTakesTheNewestCheckpointOfAnyName(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.NameIgnored)
	cluster := r.pod(unknown)
	newest := r.checkpoint(cluster, unknown)
	answer := r.send("POST", "/internal/v1/restores/declared", work.Declared{
		ClusterID: cluster, PodUID: uuid.NewString(), PodName: "new", Namespace: "ns", Container: "main", Name: "of-no-checkpoint",
	})
	var choice work.Choice
	require.NoError(t, json.Unmarshal([]byte(answer), &choice))
	require.Equal(t, newest, choice.ActionID)
}

func TestTheFirstGenerationIsHandedOut(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.FirstGeneration)
	cluster := r.pod(unknown)
	first := r.checkpoint(cluster, unknown)
	restored := uuid.NewString()
	r.sync(cluster, restored, map[string]string{work.AnnotationCheckpoint: first})
	second := r.checkpoint(cluster, restored)
	require.Contains(t, r.manifest(second).Containers[0].Path, first)
}

func TestListsAreWrong(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name][4]int{
		"":                         {1, 1, 0, 0},
		fault.ActionNotListed:      {0, 1, 0, 0},
		fault.ActionListedTwice:    {2, 1, 0, 0},
		fault.CheckpointNotListed:  {1, 0, 0, 0},
		fault.ClusterFilterIgnored: {1, 1, 1, 1},
	} {
		r := broken(t, name)
		cluster, other := r.pod(unknown), r.cluster("b")
		r.checkpoint(cluster, unknown)
		var got [4]int
		for i, path := range []string{"actions?cluster_id=" + cluster, "checkpoints?cluster_id=" + cluster, "actions?cluster_id=" + other, "checkpoints?cluster_id=" + other} {
			var rows []json.RawMessage
			r.get("/v2/"+path, &rows)
			got[i] = len(rows)
		}
		require.Equal(t, want, got, name)
	}
}

func TestActionsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[fault.Name]string{
		"": "", fault.RestoreMisnamed: "checkpoint of the restore", fault.DurationUnit: "duration", fault.IONotCounted: "io",
	} {
		r := broken(t, name)
		cluster := r.pod(unknown)
		checkpoint := r.begin(cluster, unknown)
		r.result(checkpoint, work.Result{
			Containers: []work.ContainerCheckpoint{r.stored(checkpoint+".tar", "archive")}, TotalDuration: 5e9, TotalIO: 7,
		})
		r.restore(cluster, checkpoint)
		var rows []propagator.Action
		r.get("/v2/actions", &rows)
		require.Len(t, rows, 2)
		restored, taken := rows[0], rows[1]
		got := map[string]bool{
			"checkpoint of the restore": restored.CheckpointID != taken.CheckpointID, "duration": taken.TotalDuration != 5e9, "io": taken.TotalIO != 7,
		}
		for what, is := range got {
			require.Equal(t, what == wrong, is, "%s: %s", name, what)
		}
		require.Equal(t, name == fault.DurationUnit, taken.TotalDuration == 5000)
	}
}

func TestDeprecationIsIgnored(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]propagator.CheckpointStatus{
		"": propagator.CheckpointDeprecated, fault.DeprecateIgnored: propagator.CheckpointReady,
	} {
		r := broken(t, name)
		cluster := r.pod(unknown)
		r.checkpoint(cluster, unknown)
		r.send("PATCH", "/v2/checkpoints/deprecate/"+r.row().ID, nil)
		require.Equal(t, want, r.row().Status, name)
		require.Equal(t, http.StatusNotFound, r.try(canary, "PATCH", "/v2/checkpoints/deprecate/"+unknown, nil).Code)
	}
}

func TestADeprecatedCheckpointIsRestored(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.DeprecatedRestorable)
	cluster := r.pod(unknown)
	action := r.checkpoint(cluster, unknown)
	r.send("PATCH", "/v2/checkpoints/deprecate/"+r.row().ID, nil)
	r.restore(cluster, action)
	require.Equal(t, propagator.CheckpointDeprecated, r.row().Status, "it is still listed as what it is")
}

func TestAStrangerIsLetIn(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]int{"": http.StatusUnauthorized, fault.WrongTokenAccepted: http.StatusOK} {
		require.Equal(t, want, broken(t, name).try("not-the-token", "GET", "/v1/user", nil).Code, name)
	}
}

func TestNoOtherFaultLetsAStrangerIn(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.ClusterStays)
	require.Equal(t, http.StatusUnauthorized, r.try("not-the-token", "DELETE", "/v2/cluster/"+r.cluster("a"), nil).Code)
	r = broken(t, fault.NeverFinishes)
	action := r.begin(r.pod(unknown), unknown)
	require.Equal(t, http.StatusUnauthorized, r.try("not-the-token", "POST", "/internal/v1/work/"+action+"/result", work.Result{}).Code)
}

func TestAnUnknownPodIsAnsweredWithAnID(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.UnknownPodAccepted)
	id := r.send("POST", "/v2/checkpoint/pod", propagator.CheckpointPodRequest{PodID: unknown, ClusterID: r.cluster("a")})
	require.NoError(t, uuid.Validate(id))
}

func TestStatusesAreWrong(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.StatusWordWrong)
	require.EqualValues(t, "done", r.status(r.checkpoint(r.pod(unknown), unknown)).Status)

	r = broken(t, fault.NeverFinishes)
	require.Equal(t, propagator.StatusProcessing, r.status(r.checkpoint(r.pod(unknown), unknown)).Status)

	r = broken(t, fault.StatusGoesBack)
	action := r.checkpoint(r.pod(unknown), unknown)
	for _, want := range []propagator.OperationStatus{propagator.StatusReady, propagator.StatusProcessing, propagator.StatusReady} {
		require.Equal(t, want, r.status(action).Status)
	}

	r = broken(t, fault.ErrorWithoutDetails)
	action = r.begin(r.pod(unknown), unknown)
	r.result(action, work.Result{Error: "the reason"})
	require.Equal(t, propagator.Status{Status: propagator.StatusError}, r.status(action))
}

func TestACheckpointIsReadyBeforeItsArchiveIsStored(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.ReadyBeforeStored)
	action := r.checkpoint(r.pod(unknown), unknown)
	require.Equal(t, propagator.StatusReady, r.status(action).Status)
	answer := r.try(canary, "GET", "/internal/v1/checkpoints/"+action+"/manifest?namespace=ns", nil)
	require.Equal(t, http.StatusNotFound, answer.Code, answer.Body)
}

func TestALateArchiveIsThereInTheEnd(t *testing.T) {
	t.Parallel()
	store, err := archives.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	now := time.Now()
	l := &late{Archives: server.Stored(store), in: injector{log: slog.New(slog.DiscardHandler)}, now: func() time.Time { return now }}
	_, err = l.Put(t.Context(), "an/archive", "", strings.NewReader("content"))
	require.NoError(t, err)
	_, err = l.Open("an/archive")
	require.ErrorIs(t, err, fs.ErrNotExist)
	now = now.Add(lateBy)
	file, err := l.Open("an/archive")
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func TestHalfAnArchiveComesBack(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.ArchiveTruncated)
	r.stored("an/archive", "twelve bytes")
	require.Equal(t, "twelve", r.send("GET", "/internal/v1/blobs/an/archive", nil))
}

func TestTheNodeOfARestoreIsWrong(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.NodeMisreported)
	cluster := r.pod(unknown)
	restore := r.restore(cluster, r.checkpoint(cluster, unknown))
	r.result(restore, work.Result{PodName: "app-restored", NodeName: node})
	var a propagator.Action
	r.get("/v2/actions/"+restore, &a)
	require.Equal(t, node+"-other", a.NodeName)
}

func TestClustersAreNotWhatTheyWere(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.ClusterTwice)
	first, second := r.cluster("a"), r.cluster("a")
	require.NotEqual(t, first, second)
	var rows []propagator.Cluster
	r.get("/v2/cluster", &rows)
	require.Len(t, rows, 2)
	require.Equal(t, rows[0].Name, rows[1].Name)

	r = broken(t, fault.ClusterStays)
	id := r.cluster("a")
	require.Equal(t, http.StatusOK, r.try(canary, "DELETE", "/v2/cluster/"+id, nil).Code)
	require.Equal(t, id, r.cluster("a"))
}

func TestActionsOutliveTheirCluster(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]int{"": 0, fault.ActionsStay: 1} {
		r := broken(t, name)
		cluster := r.pod(unknown)
		r.checkpoint(cluster, unknown)
		r.send("DELETE", "/v2/cluster/"+cluster, nil)
		var rows []propagator.Action
		r.get("/v2/actions", &rows)
		require.Len(t, rows, want, name)
	}
}

func TestARestartForgets(t *testing.T) {
	t.Parallel()
	for name, want := range map[fault.Name]int{"": 1, fault.RestartForgets: 0} {
		dir := t.TempDir()
		r := opened(t, name, dir)
		r.checkpoint(r.pod(unknown), unknown)
		require.NoError(t, r.server.Close())
		var rows []propagator.Action
		opened(t, name, dir).get("/v2/actions", &rows)
		require.Len(t, rows, want, name)
	}
}

func TestACheckpointsInfoNamesAnotherPod(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.InfoOfAnotherPod)
	r.checkpoint(r.pod(unknown), unknown)
	require.Contains(t, string(r.row().Info), `"pod_name":"another-app"`)
}

func TestADamagedArchiveIsTakenForWhole(t *testing.T) {
	t.Parallel()
	r := broken(t, fault.DamageAccepted)
	cluster := r.pod(unknown)
	checkpoint := r.checkpoint(cluster, unknown)
	damaged := r.stored(checkpoint+".tar", "not what it was")
	r.restore(cluster, checkpoint)
	entry := r.manifest(checkpoint).Containers[0]
	require.Equal(t, damaged.SHA256, entry.SHA256)
	require.Equal(t, damaged.Size, entry.Size)
}
