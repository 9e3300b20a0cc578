package server

import (
	"errors"
	"fmt"
	"net/http"
	"sort"
	"time"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// declaredRestore says what a container that declares a checkpoint's name is restored from, and has the manager say so
// in an event of its pod.
func (s *Server) declaredRestore(w http.ResponseWriter, r *http.Request) error {
	var req work.Declared
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	for field, value := range map[string]string{
		"pod_uid": req.PodUID, "pod_name": req.PodName, "namespace": req.Namespace, "container": req.Container, "name": req.Name,
	} {
		if value == "" {
			return badRequest("%s is required", field)
		}
	}
	var err error
	if req.ClusterID, err = parseID(req.ClusterID, "cluster_id"); err != nil {
		return err
	}
	var from store.Action
	var there bool
	err = s.store.View(func(tx *store.Tx) (err error) {
		from, there, err = s.declaredCheckpoint(tx, req)
		return err
	})
	if err != nil {
		return err
	}
	event := work.Event{
		PodUID: req.PodUID, PodName: req.PodName, Namespace: req.Namespace, Container: req.Container,
		Reason: work.ReasonColdStart,
		Message: fmt.Sprintf("Container %s starts cold: namespace %s has no ready checkpoint of the name %q for it",
			req.Container, req.Namespace, req.Name),
	}
	answer := work.Choice{}
	if there {
		answer.ActionID = from.ID
		event.Reason = work.ReasonRestoring
		event.Message = fmt.Sprintf("Container %s is restored from checkpoint %s of the name %q, asked for at %s of pod %s",
			req.Container, from.ID, req.Name, from.Created.UTC().Format(time.RFC3339), from.PodName)
	}
	s.log.Info("declared restore", "cluster", req.ClusterID, "namespace", req.Namespace, "pod", req.PodName,
		"container", req.Container, "name", req.Name, "checkpoint", answer.ActionID)
	s.queue.offer(work.Work{ID: uuid.NewString(), Kind: work.KindEvent, Event: &event},
		worker{role: work.RoleManager, cluster: req.ClusterID}, "")
	return writeJSON(w, answer)
}

// declaredCheckpoint is the newest checkpoint of a name that a container can be restored from: of a container of the
// same name, in the same namespace of the same cluster.
func (s *Server) declaredCheckpoint(tx *store.Tx, req work.Declared) (newest store.Action, there bool, err error) {
	if err := needCluster(tx, req.ClusterID); err != nil {
		return newest, false, err
	}
	pod, known, err := tx.Pods.Get(store.PodKey(req.ClusterID, req.PodUID))
	if err != nil {
		return newest, false, err
	}
	// A pod that its manager has not told of yet may well be created already; containerd's word for it is enough then.
	if known && pod.Namespace != req.Namespace {
		return newest, false, forbidden("pod %.64q is not in namespace %.64q", req.PodUID, req.Namespace)
	}
	found, err := tx.Actions.Where("", func(a store.Action) bool {
		return a.Type == propagator.ActionCheckpointPod && a.Status == propagator.StatusReady &&
			a.ClusterID == req.ClusterID && a.Namespace == req.Namespace && has(a.Containers, req.Container, req.Name)
	})
	if err != nil {
		return newest, false, err
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Created.After(found[j].Created) })
	for _, a := range found {
		if a.ID == req.ActionID {
			return a, true, nil // also when it was deprecated since: its archives are kept for a while
		}
	}
	for _, a := range found {
		var refused *httpError
		if _, err := s.restorable(tx, a.ID); errors.As(err, &refused) {
			continue
		} else if err != nil {
			return newest, false, err
		}
		return a, true, nil
	}
	return newest, false, nil
}

func has(containers []work.ContainerCheckpoint, container, name string) bool {
	for _, c := range containers {
		if c.Container == container && c.Name == name {
			return true
		}
	}
	return false
}
