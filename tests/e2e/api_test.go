//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// apiCase is a case about the propagator's API itself; all others ask for what they want by steps alone.
type apiCase struct {
	*steps.Steps
	api *steps.Propagator
	// prefix is for version.
	prefix string
}

func beginAPI(t *testing.T) *apiCase {
	t.Helper()
	return withAPI(cluster.Begin(t))
}

func beginAPIWithoutPods(t *testing.T) *apiCase {
	t.Helper()
	return withAPI(cluster.BeginWithoutPods(t))
}

func withAPI(f *fixture.Fixture) *apiCase {
	f.Helper()
	api := steps.NewPropagator(f, f.Env.Token)
	return &apiCase{Steps: steps.New(f, api), api: api}
}

// action is the row of an action.
func (s *apiCase) action(id string) propagator.Action {
	s.Helper()
	row, err := s.api.Action(s.Ctx, id)
	s.Must(err, "ask for action %s", id)
	fixture.Equal(s, "the type of action "+id, propagator.ActionCheckpointPod, row.Type)
	return row
}

// refused checks that a request was answered with one of the codes.
func (s *apiCase) refused(err error, what string, codes ...int) {
	s.Helper()
	var api *propagator.APIError
	if !errors.As(err, &api) || !slices.Contains(codes, api.StatusCode) {
		s.Unexpected(fmt.Sprintf("%s is refused with %v", what, codes), fmt.Sprintf("%v", err))
	}
}

// The right token has a user; a wrong one, and none, have nothing.
func TestToken(t *testing.T) {
	s := beginAPIWithoutPods(t)
	user, err := s.api.User(s.Ctx)
	s.Must(err, "ask who the token belongs to")
	s.That(user != "", "the token's user has an id", "an empty one")

	for name, token := range map[string]settings.Secret{"a wrong token": "not-the-token", "no token": ""} {
		other := steps.NewPropagator(s.Fixture, token).Client
		_, err := other.User(s.Ctx)
		s.refused(err, "GET /user with "+name, http.StatusUnauthorized)
		_, err = other.Checkpoints(s.Ctx, propagator.CheckpointFilter{})
		s.refused(err, "GET /checkpoints with "+name, http.StatusUnauthorized)
		_, err = other.CheckpointPod(s.Ctx, propagator.CheckpointPodRequest{PodID: uuid.NewString(), ClusterID: cmp.Or(s.Env.ClusterID, uuid.NewString())})
		s.refused(err, "POST /checkpoint/pod with "+name, http.StatusUnauthorized)
	}
}

// What does not exist cannot be checkpointed, restored or asked about.
func TestUnknownIDs(t *testing.T) {
	s := beginAPIWithoutPods(t)
	// The client waits for a pod that the propagator has not heard of yet; this one never comes.
	api := steps.NewPropagator(s.Fixture, s.Env.Token, propagator.WithSyncWait(time.Millisecond)).Client
	cluster := cmp.Or(s.Env.ClusterID, uuid.NewString())
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "nobody", Namespace: s.Namespace, UID: types.UID(uuid.NewString())}}
	_, err := api.CheckpointPod(s.Ctx, propagator.CheckpointPodRequest{
		PodID: string(pod.UID), PodName: pod.Name, Namespace: pod.Namespace, ClusterID: cluster, RuncRoot: s.Env.RuncRoot,
	})
	s.refused(err, "a checkpoint of an unknown pod", http.StatusNotFound, http.StatusBadRequest)
	_, err = api.RestorePod(s.Ctx, propagator.RestorePodRequest{ActionID: uuid.NewString(), ClusterID: cluster, Reason: propagator.ReasonManual})
	s.refused(err, "a restore from an unknown action", http.StatusNotFound, http.StatusBadRequest)
	_, err = api.Status(s.Ctx, uuid.NewString())
	s.refused(err, "the status of an unknown action", http.StatusNotFound)
	if s.Kube != nil {
		s.That(len(s.Present()) == 0, "none of this made a pod", s.Present())
	}
}

// Each list can be had, and has nothing of a cluster that does not exist.
func TestLists(t *testing.T) {
	s := beginAPIWithoutPods(t)
	clusters := s.rows("/cluster")
	if s.Env.ClusterID != "" {
		s.That(slices.ContainsFunc(clusters, func(row map[string]any) bool { return row["id"] == s.Env.ClusterID }),
			"GET /cluster lists the suite's own cluster "+s.Env.ClusterID, fmt.Sprintf("%d others", len(clusters)))
	}
	for _, path := range []string{"/checkpoints", "/actions"} {
		s.rows(path)
		// Not every propagator knows this filter.
		if s.Env.Backend == settings.BackendLocal {
			fixture.Equal(s, "the number of rows of GET "+path+" of an unknown cluster", 0, len(s.rows(path+"?cluster_id="+uuid.NewString())))
		}
	}
}

// The list of actions holds to each filter, and to all at once.
func TestActionFilters(t *testing.T) {
	s := beginAPI(t)
	c := s.Checkpoint(s.Start(pods.Nginx(s.Env.ImageNginx)))
	own := s.action(c.Operation.String())

	filters := []map[string]string{{"type": string(propagator.ActionCheckpointPod)}}
	if s.Env.Backend == settings.BackendLocal {
		// Not every propagator knows these.
		filters = append(filters, map[string]string{"cluster_id": s.Env.ClusterID}, map[string]string{"status": own.Status},
			map[string]string{"type": string(propagator.ActionCheckpointPod), "cluster_id": s.Env.ClusterID, "status": own.Status})
	}
	for _, filter := range filters {
		query := url.Values{}
		for field, value := range filter {
			query.Set(field, value)
		}
		path := "/actions?" + query.Encode()
		s.lists(path, "action_id", own.ActionID, true)
		for _, row := range s.rows(path) {
			for field, value := range filter {
				s.That(fieldOf(row, field) == value, fmt.Sprintf("each row of GET %s has the %s %s", path, field, value), row)
			}
		}
	}
	s.lists("/actions?type="+string(propagator.ActionRestorePod), "action_id", own.ActionID, false)
	if s.Env.Backend == settings.BackendLocal {
		// There may be no other cluster with actions that the filter would have to leave out.
		s.lists("/actions?cluster_id="+uuid.NewString(), "action_id", own.ActionID, false)
	}
	one, err := s.api.Action(s.Ctx, c.Operation.String())
	s.Must(err, "ask for action %s by its id", c.Operation.String())
	fixture.Equal(s, "the action's id", c.Operation.String(), one.ActionID)
}

// fieldOf is a field of a row, or of its details.
func fieldOf(row map[string]any, name string) any {
	if value, ok := row[name]; ok {
		return value
	}
	details, _ := row["details"].(map[string]any)
	return details[name]
}

// A checkpoint that was given up says so, and another of the same pod is untouched; giving it up again is no error,
// giving up one that does not exist is.
func TestDeprecate(t *testing.T) {
	s := beginAPI(t)
	pod := s.Start(pods.Nginx(s.Env.ImageNginx))
	up, kept := s.Checkpoint(pod), s.Checkpoint(pod)
	for _, row := range up.Records {
		s.Must(s.api.Client.Deprecate(s.Ctx, row.ID), "deprecate checkpoint %s", row.ID)
		s.Must(s.api.Client.Deprecate(s.Ctx, row.ID), "deprecate checkpoint %s again", row.ID)
		now, err := s.api.Client.Checkpoints(s.Ctx, propagator.CheckpointFilter{IDs: []string{row.ID}})
		s.Must(err, "ask for checkpoint %s", row.ID)
		for _, c := range now {
			fixture.Equal(s, "the status of checkpoint "+c.ID, propagator.CheckpointDeprecated, c.Status)
		}
	}
	for _, row := range kept.Records {
		now, err := s.api.Client.Checkpoints(s.Ctx, propagator.CheckpointFilter{IDs: []string{row.ID}})
		s.Must(err, "ask for checkpoint %s", row.ID)
		fixture.Equal(s, "the number of checkpoints of id "+row.ID, 1, len(now))
		fixture.Equal(s, "the status of checkpoint "+row.ID, propagator.CheckpointReady, now[0].Status)
	}
	// What Cedana answers to that is not documented.
	if s.Env.Backend == settings.BackendLocal {
		s.refused(s.api.Client.Deprecate(s.Ctx, uuid.NewString()), "deprecating an unknown checkpoint", http.StatusNotFound, http.StatusBadRequest)
	}
}

// actionIn asks for a checkpoint in a cluster that the case has registered: of a pod that is told of and is nowhere, so that
// nobody takes it. A live propagator is told of no pods that there are not: none.
func (s *apiCase) actionIn(cluster string) string {
	s.Helper()
	if s.Env.Backend != settings.BackendLocal {
		return ""
	}
	uid := uuid.NewString()
	pod, err := json.Marshal(map[string]any{
		"type": "Pod", "metadata": map[string]any{"uid": uid, "name": "nobody", "namespace": s.Namespace},
		"spec": map[string]any{"nodeName": "nowhere"}, "status": map[string]any{"phase": "Running"},
	})
	s.Must(err, "encode a pod")
	s.Must(s.api.SyncCluster(s.Ctx, propagator.ClusterSyncRequest{ClusterID: cluster, Resource: pod}), "tell of a pod in cluster %s", cluster)
	action, err := s.api.CheckpointPod(s.Ctx, propagator.CheckpointPodRequest{PodID: uid, ClusterID: cluster, Kind: propagator.KindSimple, Reason: propagator.ReasonManual})
	s.Must(err, "ask for a checkpoint in cluster %s", cluster)
	fixture.Equal(s, "the number of actions "+action, 1, s.listed(action))
	return action
}

// listed is how often an action is in the list, as the propagator gives it.
func (s *apiCase) listed(action string) int {
	s.Helper()
	return len(slices.DeleteFunc(s.rows("/actions"), func(row map[string]any) bool { return row["action_id"] != action }))
}

// A cluster is registered by its name, is in the list, and is gone when it is removed, with its actions; the suite's own
// stays.
func TestClusterRegistration(t *testing.T) {
	s := beginAPIWithoutPods(t)
	name := s.Namespace
	id, err := s.api.CreateCluster(s.Ctx, name)
	if propagator.IsRefused(err) && !s.Env.Registered {
		s.Skipf("needs a token that may register clusters, and this one may not: %v", err)
	}
	s.Must(err, "register cluster %s", name)
	gone := false
	s.Cleanup(func() {
		if !gone {
			s.unregister(id)
		}
	})
	again, err := s.api.CreateCluster(s.Ctx, name)
	s.Must(err, "register cluster %s again", name)
	fixture.Equal(s, "the id of cluster "+name+" the second time", id, again)

	named := func(want string) []propagator.Cluster {
		rows, err := s.api.Clusters(s.Ctx)
		s.Must(err, "list clusters")
		return slices.DeleteFunc(rows, func(c propagator.Cluster) bool { return c.ID != want })
	}
	rows := named(id)
	fixture.Equal(s, "the number of clusters of id "+id, 1, len(rows))
	fixture.Equal(s, "its name", name, rows[0].Name)
	// What a live propagator says of a cluster that it has not heard of yet is not documented.
	if s.Env.Backend == settings.BackendLocal {
		s.That(rows[0].LastSync == nil, "a cluster of which nothing was heard has not synced", rows[0].LastSync)
	}
	action := s.actionIn(id)

	s.Must(s.api.DeleteCluster(s.Ctx, id), "remove cluster %s", id)
	gone = true
	fixture.Equal(s, "the number of clusters of id "+id+" after its removal", 0, len(named(id)))
	if action != "" {
		fixture.Equal(s, "the number of actions "+action+" after the removal of their cluster", 0, s.listed(action))
		_, err := s.api.Client.Status(s.Ctx, action)
		s.refused(err, "the status of an action whose cluster was removed", http.StatusNotFound)
	}
	if s.Env.ClusterID != "" {
		fixture.Equal(s, "the number of clusters of the suite's own id", 1, len(named(s.Env.ClusterID)))
	}
	s.refused(s.api.DeleteCluster(s.Ctx, id), "removing a cluster that is gone", http.StatusNotFound)
}
