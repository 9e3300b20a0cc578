package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// An action goes initialized -> processing -> [checkpoint_created ->] ready, or to error from anywhere before ready.
// Every step is in the store before anybody hears of it; the queue and the endings follow the store.

// begin stores a new action with the pod that fill finds for it, and puts its work up, unless fill has ended it. One
// transaction reads and writes, so that what fill has checked still holds.
func (s *Server) begin(a *store.Action, fill func(*store.Tx) (pod json.RawMessage, err error)) error {
	var offer func()
	err := s.store.Update(func(tx *store.Tx) error {
		again, err := begun(tx, a)
		if again || err != nil {
			return err
		}
		pod, err := fill(tx)
		if err != nil {
			return err
		}
		if !a.HasEnded() {
			w, to, busy, err := s.unit(tx, *a, pod)
			if err != nil {
				return err
			}
			offer = func() { s.queue.offer(w, to, busy) }
		}
		if err := tx.Specs.Put(a.ID, pod); err != nil {
			return err
		}
		return tx.Actions.Put(a.ID, *a)
	})
	if err == nil && offer != nil {
		offer()
	}
	return err
}

// begun makes a the action that the same request has started before: its answer was lost, and it was sent again.
func begun(tx *store.Tx, a *store.Action) (bool, error) {
	if a.Key == "" {
		return false, nil
	}
	before, err := tx.Actions.Where("", func(other store.Action) bool { return other.Key == a.Key && other.Type == a.Type })
	if err != nil || len(before) == 0 {
		return false, err
	}
	*a = before[0]
	return true, nil
}

// unit is the work of an action, whom it is for, and the pod that it keeps busy.
func (s *Server) unit(tx *store.Tx, a store.Action, spec json.RawMessage) (w work.Work, to worker, pod string, err error) {
	// A restart must know the work again when its result comes: it has the action's id.
	w = work.Work{ID: a.ID, ActionID: a.ID}
	if a.Type == propagator.ActionRestorePod {
		containers, err := described(tx, a.SourceActionID)
		w.Kind = work.KindRestore
		w.Restore = &work.Restore{
			CheckpointActionID: a.SourceActionID, Pod: spec, PodName: a.WantedPodName, Containers: containers,
		}
		return w, worker{role: work.RoleManager, cluster: a.ClusterID}, "", err
	}
	w.Kind = work.KindCheckpoint
	w.Checkpoint = &work.Checkpoint{
		PodUID: a.PodUID, PodName: a.PodName, Namespace: a.Namespace, NodeName: a.NodeName,
		RuncRoot: a.RuncRoot, CheckpointID: a.CheckpointID, Pod: spec, Overrides: a.Overrides,
	}
	return w, worker{role: work.RoleHelper, cluster: a.ClusterID, node: a.NodeName}, a.PodUID, nil
}

// resume puts up again what was not handed out before a restart, and gives what was handed out a new lease: its worker
// may well be alive.
func (s *Server) resume() error {
	if err := s.store.Update(giveCheckpointIDs); err != nil {
		return fmt.Errorf("give checkpoint ids to earlier actions: %w", err)
	}
	return s.store.View(func(tx *store.Tx) error {
		open, err := tx.Actions.Where("", func(a store.Action) bool { return !a.HasEnded() })
		if err != nil {
			return err
		}
		for _, a := range open {
			spec, _, err := tx.Specs.Get(a.ID)
			if err != nil {
				return err
			}
			w, to, pod, err := s.unit(tx, a, spec)
			if err != nil {
				return err
			}
			if a.Status == propagator.StatusInitialized {
				s.queue.offer(w, to, pod)
			} else {
				s.queue.resume(w, to, pod)
			}
			s.log.Info("resumed", "action", a.ID, "type", a.Type, "status", a.Status)
		}
		return nil
	})
}

// giveCheckpointIDs makes up for what earlier programs wrote: an action had no checkpoint before it was ready, and none at
// all if it failed.
func giveCheckpointIDs(tx *store.Tx) error {
	without, err := tx.Actions.Where("", func(a store.Action) bool { return a.CheckpointID == "" })
	if err != nil {
		return err
	}
	for _, a := range without {
		a.CheckpointID = uuid.NewString()
		row := newRow(a.CheckpointID, a.Created)
		row.ActionID, row.ClusterID = a.ID, a.ClusterID
		if a.HasEnded() {
			row.Status, row.Deprecated = propagator.CheckpointDeprecated, a.Ended
		}
		if err := errors.Join(tx.Checkpoints.Put(row.ID, row), tx.Actions.Put(a.ID, a)); err != nil {
			return err
		}
	}
	return nil
}

// errEnded is a step that comes after the action's end.
type errEnded struct{ action store.Action }

func (e errEnded) Error() string {
	return fmt.Sprintf("action %s has ended in %s: %s", e.action.ID, e.action.Status, e.action.Error)
}

// step changes an action that has not ended; errEnded when it has.
func (s *Server) step(id string, change func(*store.Tx, *store.Action) error) (store.Action, error) {
	var a store.Action
	err := s.store.Update(func(tx *store.Tx) error {
		var ok bool
		var err error
		if a, ok, err = tx.Actions.Get(id); err != nil {
			return err
		}
		if !ok {
			return notFound("Action ID not found: %s", id)
		}
		if a.HasEnded() {
			return errEnded{a}
		}
		if err := change(tx, &a); err != nil {
			return err
		}
		if a.HasEnded() {
			now := s.now()
			a.Ended = &now
			if a.Status == propagator.StatusError {
				if err := s.discard(tx, a); err != nil {
					return err
				}
			}
		}
		return tx.Actions.Put(id, a)
	})
	if err != nil {
		return a, err
	}
	s.log.Info("action", "action", id, "type", a.Type, "status", a.Status, "error", a.Error)
	if a.HasEnded() {
		s.queue.drop(id)
		s.endings.tell(id)
	}
	return a, nil
}

// fail ends an action in error.
func (s *Server) fail(id, reason string) error {
	_, err := s.step(id, func(_ *store.Tx, a *store.Action) error {
		a.Status, a.Error = propagator.StatusError, reason
		return nil
	})
	return err
}

// discard deprecates the rows that a failed checkpoint has left, so that removeArchives takes their archives.
func (s *Server) discard(tx *store.Tx, a store.Action) error {
	if a.Type != propagator.ActionCheckpointPod {
		return nil
	}
	rows, err := tx.Checkpoints.Where("", func(c store.Checkpoint) bool { return c.ActionID == a.ID && c.Deprecated == nil })
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := s.deprecateRow(tx, row); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) deprecateRow(tx *store.Tx, row store.Checkpoint) error {
	now := s.now()
	row.Status, row.Deprecated = propagator.CheckpointDeprecated, &now
	return tx.Checkpoints.Put(row.ID, row)
}

// expire ends what nobody took, what was lost, and what takes too long.
func (s *Server) expire() {
	untaken, lost := s.queue.late(s.cfg.Pickup)
	for _, it := range untaken {
		s.giveUp(it.work.ID, fmt.Sprintf("no %s took the work within %s: see whether its pod runs in Cedana's namespace (kubectl get pods -o wide) and what it says (kubectl logs)", it.to, s.cfg.Pickup))
	}
	for _, it := range lost {
		s.giveUp(it.work.ID, fmt.Sprintf("the %s took the work and gave no sign of life for %s", it.to, s.cfg.Lease))
	}
	if s.queue.idle() {
		return // nothing is unfinished, and there may be many that are not
	}
	var slow []store.Action
	err := s.store.View(func(tx *store.Tx) error {
		var err error
		slow, err = tx.Actions.Where("", func(a store.Action) bool {
			return !a.HasEnded() && s.now().Sub(a.Created) > s.cfg.ActionTimeout
		})
		return err
	})
	if err != nil {
		s.log.Error("look for slow actions", "error", err)
		return
	}
	for _, a := range slow {
		s.giveUp(a.ID, fmt.Sprintf("not done within %s, last state %s", s.cfg.ActionTimeout, a.Status))
	}
}

func (s *Server) giveUp(id, reason string) {
	if err := s.fail(id, reason); err != nil {
		// Gone or ended in the meantime: nothing is left to do for it either way.
		s.queue.drop(id)
		s.log.Warn("give up work", "work", id, "reason", reason, "error", err)
	}
}

// removeArchives removes what no live checkpoint needs: archives of rows that have been deprecated for longer than the retention
// and that no restore in progress uses, and archives and rows that no action has claimed in the time an action may take.
func (s *Server) removeArchives() error {
	now := s.now()
	deprecated, unclaimed := now.Add(-s.cfg.Retention), now.Add(-s.cfg.ActionTimeout)
	entries, err := s.archives.List("")
	if err != nil {
		return err
	}
	claimed, alive := map[string]bool{}, map[string]bool{}
	err = s.store.Update(func(tx *store.Tx) error {
		restores, err := tx.Actions.Where("", func(a store.Action) bool {
			return a.Type == propagator.ActionRestorePod && !a.HasEnded()
		})
		if err != nil {
			return err
		}
		inUse := map[string]bool{}
		for _, a := range restores {
			inUse[a.SourceActionID] = true
		}
		rows, err := tx.Checkpoints.Where("", nil)
		if err != nil {
			return err
		}
		for _, row := range rows {
			switch {
			case row.ActionID == "" && row.Status != propagator.CheckpointReady && row.Created.Before(unclaimed):
				if err := tx.Checkpoints.Delete(row.ID); err != nil {
					return err
				}
			case row.Path == "":
			case row.Deprecated == nil, row.Deprecated.After(deprecated), inUse[row.ActionID]:
				alive[row.Path] = true
			default:
				claimed[row.Path] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		if alive[e.Path] || !claimed[e.Path] && e.Modified.After(unclaimed) {
			continue
		}
		if err := s.archives.Remove(e.Path); err != nil {
			return err
		}
		s.log.Info("removed archive", "path", e.Path, "bytes", e.Size, "age", now.Sub(e.Modified).Round(time.Second))
	}
	return nil
}
