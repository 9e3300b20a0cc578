package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// noGPU is what the API's required gpu field says where there is none.
const noGPU = "none"

// wireAction is an action as the API shows it.
func wireAction(a store.Action) (propagator.Action, error) {
	details := map[string]string{"pod_name": a.PodName, "namespace": a.Namespace, "cluster_id": a.ClusterID}
	for key, value := range map[string]string{
		"error": a.Error, "restored_pod": a.RestoredPod, "source_action_id": a.SourceActionID,
	} {
		if value != "" {
			details[key] = value
		}
	}
	raw, err := json.Marshal(details)
	if err != nil {
		return propagator.Action{}, err
	}
	gpu := a.GPU
	if gpu == "" {
		gpu = noGPU
	}
	row := propagator.Action{
		ActionID: a.ID, CheckpointID: a.CheckpointID, Status: string(a.Status), Type: a.Type, Details: raw,
		GPU: gpu, Platform: a.Platform, ActionTimestamp: &a.Created, NodeName: a.NodeName, Reason: a.Reason,
		TotalDuration: a.Duration, TotalIO: a.IO,
		CheckpointName: a.CheckpointName, Delta: new(bool), WorkloadKind: a.WorkloadKind,
	}
	if a.Type == propagator.ActionCheckpointPod && a.Status == propagator.StatusReady {
		row.CheckpointCompletedTimestamp = a.Ended
	}
	return row, nil
}

func (s *Server) listActions(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	cluster := query.Get("cluster_id")
	if cluster != "" {
		id, err := parseID(cluster, "cluster_id")
		if err != nil {
			return err
		}
		cluster = id
	}
	kind, status := query.Get("type"), query.Get("status")
	var rows []store.Rendered[store.Action]
	err := s.store.View(func(tx *store.Tx) (err error) {
		rows, err = tx.Actions.Render(version(r), func(a store.Action) bool {
			return matches(kind, string(a.Type)) && matches(cluster, a.ClusterID) && matches(status, string(a.Status))
		}, func(a store.Action) ([]byte, error) {
			row, err := wireAction(a)
			if err != nil {
				return nil, err
			}
			if !newer(r) {
				olderAction(&row)
			}
			return json.Marshal(row)
		})
		return err
	})
	if err != nil {
		return err
	}
	return writeNewestFirst(w, rows, func(a *store.Action) time.Time { return a.Created })
}

func (s *Server) getAction(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "action id")
	if err != nil {
		return err
	}
	a, err := s.action(id)
	if err != nil {
		return err
	}
	row, err := wireAction(a)
	if err != nil {
		return err
	}
	view := propagator.ActionDetails{
		ActionID: row.ActionID, Type: row.Type, Status: row.Status, Details: row.Details,
		ActionTimestamp: row.ActionTimestamp, CheckpointCompletedTimestamp: row.CheckpointCompletedTimestamp,
		CheckpointID: row.CheckpointID, GPU: row.GPU, NodeName: row.NodeName, Platform: row.Platform, Reason: row.Reason,
		TotalDuration: row.TotalDuration, TotalIO: row.TotalIO,
	}
	for _, c := range a.Containers {
		view.CheckpointSize += c.Size
	}
	err = s.store.View(func(tx *store.Tx) error {
		checkpoint, ok, err := tx.Checkpoints.Get(a.CheckpointID)
		if ok {
			view.CheckpointInfo, view.CheckpointName, view.RestorePath = checkpoint.Info, checkpoint.Name, checkpoint.Path
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, view)
}

func (s *Server) actionFromPod(w http.ResponseWriter, r *http.Request) error {
	uid := r.PathValue("uid")
	var latest store.Action
	var there bool
	err := s.store.View(func(tx *store.Tx) (err error) {
		latest, there, err = store.Newest(tx.Actions, store.CreatedAction, func(a store.Action) bool {
			return a.Type == propagator.ActionCheckpointPod && a.PodUID == uid
		})
		return err
	})
	if err != nil {
		return err
	}
	if !there {
		return notFound("no action of pod %.253s", uid)
	}
	return writeText(w, latest.ID)
}

// uploadPodSpec stores the pod that an action is about, in place of the one last synced, and notes that the dump is
// done when it says so.
func (s *Server) uploadPodSpec(w http.ResponseWriter, r *http.Request) error {
	var req propagator.CheckpointStatusWithPodSpec
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	id, err := parseID(req.ActionID, "action_id")
	if err != nil {
		return err
	}
	_, err = s.step(id, func(tx *store.Tx, a *store.Action) error {
		if req.Status == string(propagator.StatusCheckpointCreated) && a.Type == propagator.ActionCheckpointPod &&
			a.Status == propagator.StatusProcessing {
			a.Status = propagator.StatusCheckpointCreated
		}
		return mergeSpec(tx, id, req)
	})
	var ended errEnded
	if errors.As(err, &ended) {
		// The spec may come after the checkpoint is ready; a failed one needs none.
		err = s.store.Update(func(tx *store.Tx) error { return mergeSpec(tx, id, req) })
	}
	if err != nil {
		return err
	}
	return writeText(w, "Success")
}

func mergeSpec(tx *store.Tx, id string, req propagator.CheckpointStatusWithPodSpec) error {
	if isNull(req.PodSpec) && isNull(req.PodMetadataSpec) {
		return nil
	}
	have, _, err := tx.Specs.Get(id)
	if err != nil {
		return err
	}
	pod := map[string]json.RawMessage{}
	if !isNull(have) {
		if err := json.Unmarshal(have, &pod); err != nil {
			return err
		}
	}
	pod["apiVersion"], pod["kind"] = json.RawMessage(`"v1"`), json.RawMessage(`"Pod"`)
	if !isNull(req.PodSpec) {
		pod["spec"] = req.PodSpec
	}
	if !isNull(req.PodMetadataSpec) {
		pod["metadata"] = req.PodMetadataSpec
	}
	merged, err := json.Marshal(pod)
	if err != nil {
		return err
	}
	return tx.Specs.Put(id, merged)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
