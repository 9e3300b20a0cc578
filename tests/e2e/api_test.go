//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// refused checks that a request was answered with one of the codes.
func (s *scene) refused(err error, what string, codes ...int) {
	s.Helper()
	var api *propagator.APIError
	if !errors.As(err, &api) || !slices.Contains(codes, api.StatusCode) {
		s.fail(fmt.Sprintf("%s is refused with %v", what, codes), fmt.Sprintf("%v", err))
	}
}

// The right token has a user; a wrong one, and none, have nothing.
func TestToken(t *testing.T) {
	s := beginWithoutPods(t, environment.Smoke)
	user, err := s.api.User(s.ctx)
	s.must(err, "ask who the token belongs to")
	s.that(user != "", "the token's user has an id", "an empty one")

	for name, token := range map[string]settings.Secret{"a wrong token": "not-the-token", "no token": ""} {
		stranger, _ := s.client(token)
		_, err := stranger.User(s.ctx)
		s.refused(err, "GET /user with "+name, http.StatusUnauthorized)
		_, err = stranger.Checkpoints(s.ctx, propagator.CheckpointFilter{})
		s.refused(err, "GET /checkpoints with "+name, http.StatusUnauthorized)
		_, err = stranger.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{PodID: uuid.NewString(), ClusterID: cmp.Or(env.ClusterID, uuid.NewString())})
		s.refused(err, "POST /checkpoint/pod with "+name, http.StatusUnauthorized)
	}
}

// What does not exist cannot be checkpointed, restored or asked about.
func TestUnknownIDs(t *testing.T) {
	s := beginWithoutPods(t, environment.Smoke)
	// The client waits for a pod that the propagator has not heard of yet; this one never comes.
	api, _ := s.client(env.Token, propagator.WithSyncWait(time.Millisecond))
	cluster := cmp.Or(env.ClusterID, uuid.NewString())
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "nobody", Namespace: s.namespace, UID: types.UID(uuid.NewString())}}
	_, err := api.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{
		PodID: string(pod.UID), PodName: pod.Name, Namespace: pod.Namespace, ClusterID: cluster, RuncRoot: env.RuncRoot,
	})
	s.refused(err, "a checkpoint of an unknown pod", http.StatusNotFound, http.StatusBadRequest)
	_, err = api.RestorePod(s.ctx, propagator.RestorePodRequest{ActionID: uuid.NewString(), ClusterID: cluster, Reason: propagator.ReasonManual})
	s.refused(err, "a restore from an unknown action", http.StatusNotFound, http.StatusBadRequest)
	_, err = api.Status(s.ctx, uuid.NewString())
	s.refused(err, "the status of an unknown action", http.StatusNotFound)
	if kube != nil {
		s.that(len(s.present()) == 0, "none of this made a pod", s.present())
	}
}

// Each list can be had, and has nothing of a cluster that does not exist.
func TestLists(t *testing.T) {
	s := beginWithoutPods(t, environment.Smoke)
	_, err := s.api.Clusters(s.ctx)
	s.must(err, "list clusters")
	_, err = s.api.Checkpoints(s.ctx, propagator.CheckpointFilter{})
	s.must(err, "list checkpoints")
	_, err = s.api.Actions(s.ctx, propagator.ActionFilter{})
	s.must(err, "list actions")
	none, err := s.api.Actions(s.ctx, propagator.ActionFilter{ClusterID: uuid.NewString()})
	s.must(err, "list the actions of an unknown cluster")
	for _, row := range none {
		// Not every propagator says of each action in which cluster it was.
		equal(s, "the cluster of an action in the list of an unknown cluster", "", row.ClusterID())
	}
}

// The list of actions holds to each filter, and to all at once.
func TestActionFilters(t *testing.T) {
	s := begin(t, environment.Full)
	c := s.checkpoint(s.start(pods.Nginx(env.ImageNginx)))
	own := s.action(c.action, propagator.ActionCheckpointPod)

	for name, filter := range map[string]propagator.ActionFilter{
		"its type":    {Type: propagator.ActionCheckpointPod},
		"its cluster": {ClusterID: env.ClusterID},
		"its status":  {Status: own.Status},
		"all of them": {Type: propagator.ActionCheckpointPod, ClusterID: env.ClusterID, Status: own.Status},
	} {
		rows, err := s.api.Actions(s.ctx, filter)
		s.must(err, "list the actions of %s", name)
		s.that(slices.ContainsFunc(rows, func(a propagator.Action) bool { return a.ActionID == c.action }),
			"the actions of "+name+" have "+c.action, fmt.Sprintf("%d others", len(rows)))
		for _, row := range rows {
			s.that((filter.Type == "" || row.Type == filter.Type) && (filter.Status == "" || row.Status == filter.Status) &&
				(filter.ClusterID == "" || row.ClusterID() == "" || row.ClusterID() == filter.ClusterID),
				"the actions of "+name+" have no other", fmt.Sprintf("%+v", row))
		}
	}
	for name, filter := range map[string]propagator.ActionFilter{
		"another type":   {Type: propagator.ActionRestorePod},
		"another status": {Status: string(propagator.StatusError)},
	} {
		rows, err := s.api.Actions(s.ctx, filter)
		s.must(err, "list the actions of %s", name)
		s.that(!slices.ContainsFunc(rows, func(a propagator.Action) bool { return a.ActionID == c.action }),
			"the actions of "+name+" do not have "+c.action, "it is there")
	}
	one, err := s.api.Action(s.ctx, c.action)
	s.must(err, "ask for action %s by its id", c.action)
	equal(s, "the action's id", c.action, one.ActionID)
}

// A checkpoint that was given up says so, and another of the same pod is untouched; giving it up again is no error,
// giving up one that does not exist is.
func TestDeprecate(t *testing.T) {
	s := begin(t, environment.Full)
	pod := s.start(pods.Nginx(env.ImageNginx))
	up, kept := s.checkpoint(pod), s.checkpoint(pod)
	for _, row := range up.rows {
		s.must(s.api.Deprecate(s.ctx, row.ID), "deprecate checkpoint %s", row.ID)
		s.must(s.api.Deprecate(s.ctx, row.ID), "deprecate checkpoint %s again", row.ID)
		now, err := s.api.Checkpoints(s.ctx, propagator.CheckpointFilter{IDs: []string{row.ID}})
		s.must(err, "ask for checkpoint %s", row.ID)
		for _, c := range now {
			equal(s, "the status of checkpoint "+c.ID, propagator.CheckpointDeprecated, c.Status)
		}
	}
	for _, row := range kept.rows {
		now, err := s.api.Checkpoints(s.ctx, propagator.CheckpointFilter{IDs: []string{row.ID}})
		s.must(err, "ask for checkpoint %s", row.ID)
		equal(s, "the number of checkpoints of id "+row.ID, 1, len(now))
		equal(s, "the status of checkpoint "+row.ID, propagator.CheckpointReady, now[0].Status)
	}
	// What Cedana answers to that is not documented.
	if env.Backend == settings.BackendLocal {
		s.refused(s.api.Deprecate(s.ctx, uuid.NewString()), "deprecating an unknown checkpoint", http.StatusNotFound, http.StatusBadRequest)
	}
}

// A cluster is registered by its name, is in the list, and is gone when it is removed; the suite's own stays.
func TestClusterRegistration(t *testing.T) {
	s := beginWithoutPods(t, environment.Smoke)
	name := s.namespace
	id, err := s.api.CreateCluster(s.ctx, name)
	if propagator.IsRefused(err) && !env.Registered {
		s.Skipf("needs a token that may register clusters, and this one may not: %v", err)
	}
	s.must(err, "register cluster %s", name)
	gone := false
	s.Cleanup(func() {
		if gone {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := s.api.DeleteCluster(ctx, id); err != nil && !propagator.IsNotFound(err) {
			s.Errorf("remove cluster %s: %v", id, err)
		}
	})
	again, err := s.api.CreateCluster(s.ctx, name)
	s.must(err, "register cluster %s again", name)
	equal(s, "the id of cluster "+name+" the second time", id, again)

	named := func(want string) []propagator.Cluster {
		rows, err := s.api.Clusters(s.ctx)
		s.must(err, "list clusters")
		return slices.DeleteFunc(rows, func(c propagator.Cluster) bool { return c.ID != want })
	}
	rows := named(id)
	equal(s, "the number of clusters of id "+id, 1, len(rows))
	equal(s, "its name", name, rows[0].Name)
	// What a live propagator says of a cluster that it has not heard of yet is not documented.
	if env.Backend == settings.BackendLocal {
		s.that(rows[0].LastSync == nil, "a cluster of which nothing was heard has not synced", rows[0].LastSync)
	}

	s.must(s.api.DeleteCluster(s.ctx, id), "remove cluster %s", id)
	gone = true
	equal(s, "the number of clusters of id "+id+" after its removal", 0, len(named(id)))
	if env.ClusterID != "" {
		equal(s, "the number of clusters of the suite's own id", 1, len(named(env.ClusterID)))
	}
	s.refused(s.api.DeleteCluster(s.ctx, id), "removing a cluster that is gone", http.StatusNotFound)
}

// absent checks that a counter has no such file.
func (s *scene) absent(err error, what string) {
	s.Helper()
	var status interface{ Status() metav1.Status }
	if !errors.As(err, &status) || status.Status().Code != http.StatusNotFound {
		s.fail(what+" is not there", fmt.Sprintf("%v", err))
	}
}
