//go:build e2e

package e2e

import (
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
	s := begin(t, environment.Smoke)
	user, err := s.api.User(s.ctx)
	s.must(err, "ask who the token belongs to")
	s.that(user != "", "the token's user has an id", "an empty one")

	for name, token := range map[string]settings.Secret{"a wrong token": "not-the-token", "no token": ""} {
		stranger, _ := s.client(token)
		_, err := stranger.User(s.ctx)
		s.refused(err, "GET /user with "+name, http.StatusUnauthorized)
		_, err = stranger.Checkpoints(s.ctx, propagator.CheckpointFilter{})
		s.refused(err, "GET /checkpoints with "+name, http.StatusUnauthorized)
		_, err = stranger.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{PodID: uuid.NewString(), ClusterID: env.ClusterID})
		s.refused(err, "POST /checkpoint/pod with "+name, http.StatusUnauthorized)
	}
}

// What does not exist cannot be checkpointed, restored or asked about.
func TestUnknownIDs(t *testing.T) {
	s := begin(t, environment.Smoke)
	// The client waits for a pod that the propagator has not heard of yet; this one never comes.
	api, _ := s.client(env.Token, propagator.WithSyncWait(time.Millisecond))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "nobody", Namespace: s.namespace, UID: types.UID(uuid.NewString())}}
	_, err := api.CheckpointPod(s.ctx, propagator.CheckpointPodRequest{
		PodID: string(pod.UID), PodName: pod.Name, Namespace: pod.Namespace, ClusterID: env.ClusterID, RuncRoot: env.RuncRoot,
	})
	s.refused(err, "a checkpoint of an unknown pod", http.StatusNotFound, http.StatusBadRequest)
	_, err = api.RestorePod(s.ctx, propagator.RestorePodRequest{ActionID: uuid.NewString(), ClusterID: env.ClusterID, Reason: propagator.ReasonManual})
	s.refused(err, "a restore from an unknown action", http.StatusNotFound, http.StatusBadRequest)
	_, err = api.Status(s.ctx, uuid.NewString())
	s.refused(err, "the status of an unknown action", http.StatusNotFound)
	s.that(len(s.present()) == 0, "none of this made a pod", s.present())
}

// absent checks that a counter has no such file.
func (s *scene) absent(err error, what string) {
	s.Helper()
	var status interface{ Status() metav1.Status }
	if !errors.As(err, &status) || status.Status().Code != http.StatusNotFound {
		s.fail(what+" is not there", fmt.Sprintf("%v", err))
	}
}
