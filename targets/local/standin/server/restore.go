package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

var podNamePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

func (s *Server) restorePod(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		propagator.RestorePodRequest
		Overrides json.RawMessage `json:"overrides"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	req := body.RestorePodRequest
	source, err := parseID(req.ActionID, "action_id or request parameters")
	if err != nil {
		return err
	}
	switch req.Reason {
	case propagator.ReasonManual, propagator.ReasonNodeTermination, propagator.ReasonNodeUnschedulable:
	default:
		return badRequest("Invalid reason %.64q: want manual, nodeTermination or nodeUnschedulable", req.Reason)
	}
	a := store.Action{
		ID: uuid.NewString(), Type: propagator.ActionRestorePod, Status: propagator.StatusInitialized,
		Reason: req.Reason, Created: s.now(), Key: r.Header.Get(propagator.HeaderIdempotencyKey), SourceActionID: source,
	}
	if req.ClusterID != "" {
		if a.ClusterID, err = parseID(req.ClusterID, "cluster_id"); err != nil {
			return err
		}
	}
	overrides, err := restoreOverrides(body.Overrides)
	if err != nil {
		return err
	}
	a.WantedPodName = overrides.PodName
	refused, err := s.refused(source)
	if err != nil {
		return err
	}
	err = s.begin(&a, func(tx *store.Tx) (json.RawMessage, error) {
		from, err := s.restorable(tx, source)
		if err != nil {
			return nil, err
		}
		if a.ClusterID == "" {
			a.ClusterID = from.ClusterID
		}
		if _, ok, err := tx.Clusters.Get(a.ClusterID); err != nil {
			return nil, err
		} else if !ok {
			return nil, badRequest("Invalid cluster_id: cluster %s is not registered", a.ClusterID)
		}
		a.PodUID, a.PodName, a.Namespace = from.PodUID, from.PodName, from.Namespace
		a.CheckpointID, a.GPU, a.Platform = from.CheckpointID, from.GPU, from.Platform
		a.CheckpointName, a.WorkloadKind = from.CheckpointName, from.WorkloadKind
		if refused != nil {
			a.Status, a.Error, a.Ended = propagator.StatusError, refusal.Coded(refused).Error(), &a.Created
		}
		pod, _, err := tx.Specs.Get(source)
		return pod, err
	})
	if err != nil {
		return err
	}
	if refused != nil {
		s.log.Info("restore refused", "action", a.ID, "checkpoint", source, "error", a.Error)
	}
	return writeText(w, a.ID)
}

// refused is why nobody could restore a checkpoint, wherever that is tried; nil when nothing is known against it.
func (s *Server) refused(id string) (refused, err error) {
	containers, err := s.described(id)
	if err != nil || len(containers) == 0 {
		return nil, err // there is no such checkpoint, which is for the request to answer
	}
	for _, c := range containers {
		needs, refused := refusal.NeedsOf(c)
		if refused == nil {
			refused = needs.Newer(c.Container)
		}
		if refused != nil {
			return refused, nil
		}
	}
	// Outside of a transaction: an archive whose sum is not known since the last start is read for it.
	if reason := s.checkArchives(containers); reason != "" {
		return refusal.New(refusal.ArchiveDamaged, "%s", reason), nil
	}
	return nil, nil
}

func (s *Server) described(id string) (containers []work.ContainerCheckpoint, err error) {
	err = s.store.View(func(tx *store.Tx) (err error) {
		containers, err = described(tx, id)
		return err
	})
	return containers, err
}

// described are the containers of a finished checkpoint, with what their rows say of where they can be restored.
func described(tx *store.Tx, id string) ([]work.ContainerCheckpoint, error) {
	a, ok, err := tx.Actions.Get(id)
	if err != nil || !ok {
		return nil, err
	}
	containers := slices.Clone(a.Containers)
	for i := range containers {
		row, ok, err := tx.Checkpoints.Get(containers[i].CheckpointID)
		if err != nil {
			return nil, err
		}
		if ok {
			containers[i].Platform, containers[i].Info = row.Platform, row.Info
		}
	}
	return containers, nil
}

// restorable is the checkpoint action of that id, if a pod can be restored from it.
func (s *Server) restorable(tx *store.Tx, id string) (store.Action, error) {
	a, ok, err := tx.Actions.Get(id)
	switch {
	case err != nil:
		return a, err
	case !ok:
		return a, notFound("Action ID not found: %s", id)
	case a.Type != propagator.ActionCheckpointPod:
		return a, badRequest("Invalid action_id: %s is a %s, want a %s", id, a.Type, propagator.ActionCheckpointPod)
	case a.Status == propagator.StatusError:
		return a, badRequest("Invalid action_id: checkpoint %s failed: %s", id, a.Error)
	case a.Status != propagator.StatusReady:
		return a, badRequest("Invalid action_id: checkpoint %s is %s, not ready", id, a.Status)
	}
	for _, c := range a.Containers {
		row, ok, err := tx.Checkpoints.Get(c.CheckpointID)
		if err != nil {
			return a, err
		}
		if !ok || row.Deprecated != nil {
			return a, badRequest("Invalid action_id: checkpoint %s of container %s is deprecated", c.CheckpointID, c.Container)
		}
	}
	return a, nil
}

func (s *Server) putRestore(w http.ResponseWriter, r *http.Request) error {
	first, second := r.PathValue("first"), r.PathValue("second")
	id, put := first, s.putRestoreProfile
	switch {
	case first == "info":
		id, put = second, s.putRestoreInfo
	case second != "profile":
		return notFound("no such endpoint: PUT %s", r.URL.Path)
	}
	id, err := parseID(id, "restore id")
	if err != nil {
		return err
	}
	return put(w, r, id)
}

func (s *Server) putRestoreInfo(w http.ResponseWriter, r *http.Request, id string) error {
	var req propagator.RestoreInfoRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	_, err := s.step(id, func(_ *store.Tx, a *store.Action) error {
		if a.Type != propagator.ActionRestorePod {
			return badRequest("Invalid restore id: %s is a %s", id, a.Type)
		}
		if len(req.Profiling) > 0 {
			a.Profiling = req.Profiling
		}
		// Containers are restored side by side: the slowest counts, and all of what was read.
		a.Duration, a.IO = max(a.Duration, req.TotalDuration), a.IO+req.TotalIO
		if req.Error != "" {
			a.Status, a.Error = propagator.StatusError, req.Error
		}
		return nil
	})
	var ended errEnded
	if err != nil && !errors.As(err, &ended) { // the kubelet tries again: the first reason stays
		return err
	}
	return writeText(w, id)
}

func (s *Server) putRestoreProfile(w http.ResponseWriter, r *http.Request, id string) error {
	var profile json.RawMessage
	if err := readJSON(w, r, &profile); err != nil {
		return err
	}
	err := s.store.Update(func(tx *store.Tx) error {
		a, err := restoreOf(tx, id)
		if err != nil {
			return err
		}
		a.Profiling = profile
		return tx.Actions.Put(id, a)
	})
	if err != nil {
		return err
	}
	return s.writeRestoreState(w, id)
}

func restoreOf(tx *store.Tx, id string) (store.Action, error) {
	a, ok, err := tx.Actions.Get(id)
	if err == nil && (!ok || a.Type != propagator.ActionRestorePod) {
		err = notFound("Restore not found: %s", id)
	}
	return a, err
}

// restoreRow is one row of GET /restores.
type restoreRow struct {
	RestoreUUID        string     `json:"restore_uuid"`
	ActionID           string     `json:"action_id"`
	CheckpointActionID string     `json:"checkpoint_action_id"`
	CheckpointID       string     `json:"checkpoint_id"`
	ClusterID          string     `json:"cluster_id"`
	Status             string     `json:"status"`
	WorkloadType       string     `json:"workload_type"`
	ActionScope        string     `json:"action_scope"`
	Reason             string     `json:"reason"`
	ErrorMessage       string     `json:"error_message,omitempty"`
	StartedAt          time.Time  `json:"started_at"`
	CompletedAt        *time.Time `json:"completed_at,omitempty"`
}

func restoreRowOf(a store.Action) restoreRow {
	return restoreRow{
		RestoreUUID: a.ID, ActionID: a.ID, CheckpointActionID: a.SourceActionID, CheckpointID: a.CheckpointID,
		ClusterID: a.ClusterID, Status: string(a.Status), WorkloadType: "pod", ActionScope: "pod", Reason: a.Reason,
		ErrorMessage: a.Error, StartedAt: a.Created, CompletedAt: a.Ended,
	}
}

func (s *Server) listRestores(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit := 0
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return badRequest("Invalid limit %.64q: want a number above 0", text)
		}
		limit = n
	}
	rows := []restoreRow{}
	err := s.store.View(func(tx *store.Tx) error {
		found, err := tx.Actions.Where("", func(a store.Action) bool { return a.Type == propagator.ActionRestorePod })
		for _, a := range found {
			row := restoreRowOf(a)
			if matches(query.Get("restore_uuid"), row.RestoreUUID) && matches(query.Get("status"), row.Status) &&
				matches(query.Get("workload_type"), row.WorkloadType) && matches(query.Get("cluster_id"), row.ClusterID) &&
				matches(query.Get("checkpoint_id"), row.CheckpointID) && matches(query.Get("action_id"), row.ActionID) &&
				matches(query.Get("action_scope"), row.ActionScope) {
				rows = append(rows, row)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].StartedAt.After(rows[j].StartedAt) })
	if limit > 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	return writeJSON(w, rows)
}

// matches is a filter that is not set or is equal.
func matches(filter, value string) bool { return filter == "" || filter == value }

func (s *Server) getRestore(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "restore id")
	if err != nil {
		return err
	}
	var a store.Action
	err = s.store.View(func(tx *store.Tx) (err error) {
		a, err = restoreOf(tx, id)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, restoreRowOf(a))
}

// restoreEventRequest is what is read of a RestoreEventPayload.
type restoreEventRequest struct {
	RestoreUUID  string `json:"restore_uuid"`
	ErrorMessage string `json:"error_message"`
}

// restoreEvent takes the newer telemetry. An error ends the restore; a start and a success are only noted, because the
// manager, who sees the whole pod, decides about them.
func (s *Server) restoreEvent(w http.ResponseWriter, r *http.Request) error {
	event := r.PathValue("event")
	if event != "restore_start" && event != "restore_success" && event != "restore_error" {
		return notFound("no such restore event: %.64q", event)
	}
	var req restoreEventRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	id, err := parseID(req.RestoreUUID, "restore_uuid")
	if err != nil {
		return err
	}
	err = s.store.View(func(tx *store.Tx) error {
		_, err := restoreOf(tx, id)
		return err
	})
	if err != nil {
		return err
	}
	if event == "restore_error" {
		reason := req.ErrorMessage
		if reason == "" {
			reason = "the restore failed and its reporter gave no reason"
		}
		var ended errEnded
		if err := s.fail(id, reason); err != nil && !errors.As(err, &ended) {
			return err
		}
	}
	return s.writeRestoreState(w, id)
}

func (s *Server) writeRestoreState(w http.ResponseWriter, id string) error {
	a, err := s.action(id)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"restore_uuid": id, "status": string(a.Status)})
}
