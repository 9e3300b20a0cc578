package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

const defaultWait = 20 * time.Second

// takeWork holds a poll until there is work for it.
func (s *Server) takeWork(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	by := worker{role: work.Role(query.Get("role")), node: query.Get("node")}
	switch {
	case by.role != work.RoleHelper && by.role != work.RoleManager:
		return badRequest("Invalid role %.64q: want helper or manager", by.role)
	case by.role == work.RoleHelper && by.node == "":
		return badRequest("a helper has to name its node")
	case by.role == work.RoleManager:
		by.node = ""
	}
	var err error
	if by.cluster, err = parseID(query.Get("cluster_id"), "cluster_id"); err != nil {
		return err
	}
	if err := s.store.View(func(tx *store.Tx) error { return needCluster(tx, by.cluster) }); err != nil {
		return err
	}
	wait := defaultWait
	if text := query.Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 {
			return badRequest("Invalid wait %.64q: want a duration such as 20s", text)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, work.MaxWait))
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	for {
		it := s.queue.take(ctx, by)
		if it == nil {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		if r.Context().Err() != nil || s.life.Err() != nil {
			s.queue.giveBack(it.work.ID)
			return errGone
		}
		err := s.handOut(it.work)
		var ended errEnded
		var missing *httpError
		switch {
		case errors.As(err, &ended), errors.As(err, &missing):
			s.queue.drop(it.work.ID) // it ended, or was deleted with its cluster, while it was handed out
			continue
		case err != nil:
			s.queue.giveBack(it.work.ID)
			return err
		}
		err = writeJSON(w, it.work)
		if err == nil {
			err = sent(http.NewResponseController(w).Flush())
		}
		if err != nil {
			s.queue.giveBack(it.work.ID)
		}
		return err
	}
}

// handOut writes down that an action's work has gone to its worker. An event is of no action.
func (s *Server) handOut(w work.Work) error {
	if w.Kind == work.KindEvent {
		return nil
	}
	_, err := s.step(w.ID, func(_ *store.Tx, a *store.Action) error {
		if a.Status == propagator.StatusInitialized {
			a.Status = propagator.StatusProcessing
		}
		return nil
	})
	return err
}

func (s *Server) renewWork(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "work id")
	if err != nil {
		return err
	}
	renewed := s.queue.renew(id)
	a, err := s.action(id)
	if err != nil {
		return err
	}
	// An action ends a moment before its lease does: step writes the end down first.
	if a.Status == propagator.StatusError || !renewed && a.Status != propagator.StatusReady {
		return notFound("work %s was given up on: %s", id, a.Error)
	}
	return writeText(w, id)
}

// workResult ends an action. The same result twice is answered the same: the first answer may have been lost.
func (s *Server) workResult(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "work id")
	if err != nil {
		return err
	}
	var res work.Result
	if err := readJSON(w, r, &res); err != nil {
		return err
	}
	if s.queue.finishEvent(id) {
		return writeText(w, id)
	}
	a, err := s.action(id)
	if err != nil {
		return err
	}
	var reason string
	if res.Error != "" {
		reason = res.Error
	} else if a.Type == propagator.ActionCheckpointPod && !a.HasEnded() {
		reason = s.checkArchives(res.Containers)
	}
	_, err = s.step(id, func(tx *store.Tx, a *store.Action) error {
		a.Duration, a.IO = max(a.Duration, res.TotalDuration), max(a.IO, res.TotalIO)
		if res.NodeName != "" {
			a.NodeName = res.NodeName
		}
		if a.Type == propagator.ActionRestorePod {
			a.RestoredPod = res.PodName
		}
		if reason != "" {
			a.Status, a.Error = propagator.StatusError, reason
			return nil
		}
		a.Status = propagator.StatusReady
		if a.Type == propagator.ActionCheckpointPod {
			return s.readyRows(tx, a, res.Containers)
		}
		return nil
	})
	var ended errEnded
	switch {
	case errors.As(err, &ended) && (ended.action.Status == propagator.StatusReady) == (res.Error == ""):
	case errors.As(err, &ended):
		return notFound("work %s was given up on: %s", id, ended.action.Error)
	case err != nil:
		return err
	case reason != "" && res.Error == "":
		return badRequest("%s", reason)
	}
	return writeText(w, id)
}

// checkArchives says why a checkpoint's archives are not what its result says; empty when they are.
func (s *Server) checkArchives(containers []work.ContainerCheckpoint) string {
	if len(containers) == 0 {
		return "the helper reported a checkpoint of no container"
	}
	for _, c := range containers {
		entry, err := s.archives.Stat(c.Path)
		switch {
		case c.Container == "":
			return "the helper reported a checkpoint of a container without a name"
		case err != nil:
			return fmt.Sprintf("archive of container %s: %v", c.Container, err)
		case entry.SHA256 != c.SHA256 || entry.Size != c.Size:
			return fmt.Sprintf("archive of container %s is damaged: stored are %d bytes of sha256 %s, the helper reported %d of %s",
				c.Container, entry.Size, entry.SHA256, c.Size, c.SHA256)
		}
	}
	return ""
}

// readyRows makes the rows of a checkpoint's containers ready, and puts them in the action.
func (s *Server) readyRows(tx *store.Tx, a *store.Action, containers []work.ContainerCheckpoint) error {
	a.Containers = nil
	for i, c := range containers {
		if i == 0 {
			// It is in every answer about the action since its first.
			if c.CheckpointID != "" && c.CheckpointID != a.CheckpointID {
				return badRequest("checkpoint_id of the first container %s is %.64s, want the action's own %s", c.Container, c.CheckpointID, a.CheckpointID)
			}
			c.CheckpointID = a.CheckpointID
		}
		row := newRow(c.CheckpointID, s.now())
		switch c.CheckpointID {
		case "":
			row.ID = uuid.NewString()
		default:
			id, err := parseID(c.CheckpointID, "checkpoint_id")
			if err != nil {
				return err
			}
			have, ok, err := tx.Checkpoints.Get(id)
			switch {
			case err != nil:
				return err
			case !ok:
				return badRequest("checkpoint_id %s of container %s is unknown", id, c.Container)
			case have.ActionID != "" && have.ActionID != a.ID:
				return badRequest("checkpoint_id %s belongs to action %s", id, have.ActionID)
			}
			row = have
		}
		reported := row.Info
		if !isNull(c.Info) {
			reported = c.Info
		}
		created := row.Created
		info, err := mergeInfo(reported, propagator.CheckpointInfo{
			Size: c.Size, ClusterID: a.ClusterID, ActionID: a.ID, PodName: a.PodName, Namespace: a.Namespace,
			Container: c.Container, NodeName: a.NodeName, CreatedAt: &created,
		})
		if err != nil {
			return badRequest("container %s: %v", c.Container, err)
		}
		row.Info, row.ActionID, row.ClusterID, row.Path, row.Checksum = info, a.ID, a.ClusterID, c.Path, c.SHA256
		if row.Name = c.Name; row.Name == "" {
			row.Name = a.Namespace + "/" + a.PodName + "/" + c.Container
		}
		if c.GPU != "" {
			row.GPU = c.GPU
		}
		if c.Platform != "" {
			row.Platform = c.Platform
		}
		if row.Deprecated == nil {
			row.Status = propagator.CheckpointReady
		}
		if err := tx.Checkpoints.Put(row.ID, row); err != nil {
			return err
		}
		c.CheckpointID, c.GPU, c.Platform, c.Info = row.ID, "", "", nil
		if i == 0 {
			a.GPU, a.Platform = row.GPU, row.Platform
		}
		a.Containers = append(a.Containers, c)
	}
	return nil
}

// manifest tells a restoring runtime what to fetch.
func (s *Server) manifest(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "action id")
	if err != nil {
		return err
	}
	a, err := s.action(id)
	if err != nil {
		return err
	}
	if a.Type != propagator.ActionCheckpointPod || a.Status != propagator.StatusReady {
		return notFound("action %s is a %s in state %s, not a finished checkpoint", id, a.Type, a.Status)
	}
	// What a process has in memory is for its own namespace: whoever may create pods in another can name any checkpoint.
	if namespace := r.URL.Query().Get("namespace"); namespace != a.Namespace {
		return forbidden("checkpoint %s is of a pod of another namespace than %.64q", id, namespace)
	}
	for _, c := range a.Containers {
		file, err := s.archives.Open(c.Path)
		if err != nil {
			return archiveError(fmt.Errorf("checkpoint of container %s: %w", c.Container, err))
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	containers, err := s.described(id)
	if err != nil {
		return err
	}
	return writeJSON(w, work.Manifest{ActionID: id, Containers: containers})
}
