package server

import (
	"slices"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// forgetHistory deletes actions that have ended too long ago, or that are too many, with their checkpoints' rows and their
// pods, whose specs may have secrets in them. A checkpoint that can be restored stays, one that a restore uses, and one
// whose archives have not been removed yet.
func (s *Server) forgetHistory(now time.Time) error {
	oldest, deprecated := now.Add(-s.cfg.HistoryAge), now.Add(-s.cfg.Retention)
	return s.store.Update(func(tx *store.Tx) error {
		actions, err := tx.Actions.Where("", nil)
		if err != nil {
			return err
		}
		rows, err := tx.Checkpoints.Where("", nil)
		if err != nil {
			return err
		}
		needed, rowsOf := map[string]bool{}, map[string][]string{}
		for _, row := range rows {
			rowsOf[row.ActionID] = append(rowsOf[row.ActionID], row.ID)
			if row.Status == propagator.CheckpointReady || row.Deprecated != nil && row.Deprecated.After(deprecated) {
				needed[row.ActionID] = true
			}
		}
		var ended []store.Action
		for _, a := range actions {
			if a.HasEnded() {
				ended = append(ended, a)
			} else {
				needed[a.SourceActionID] = true
			}
		}
		slices.SortFunc(ended, func(a, b store.Action) int { return b.Created.Compare(a.Created) })
		for i, a := range ended {
			young := a.Ended == nil || a.Ended.After(oldest)
			if needed[a.ID] || young && i < s.cfg.HistoryCount {
				continue
			}
			for _, row := range rowsOf[a.ID] {
				if err := tx.Checkpoints.Delete(row); err != nil {
					return err
				}
			}
			if err := tx.Specs.Delete(a.ID); err != nil {
				return err
			}
			if err := tx.Actions.Delete(a.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
