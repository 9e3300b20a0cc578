package server

import (
	"encoding/json"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// misbehaves reports whether the server is to show this regression, and says so in the log.
func (s *Server) misbehaves(here fault.Name) bool { return s.cfg.Regression.Is(here, s.log) }

// misplaced is the checkpoint that is handed out for one that was asked for: that one, unless it is a regression to
// take another. Where there is no other, the one asked for is right.
func (s *Server) misplaced(asked store.Action) (store.Action, error) {
	var keep func(*store.Tx, store.Action) bool
	switch {
	case s.misbehaves(fault.OlderCheckpoint):
		keep = func(_ *store.Tx, a store.Action) bool {
			return a.PodUID == asked.PodUID && a.Created.Before(asked.Created)
		}
	case s.misbehaves(fault.OtherPod):
		keep = func(_ *store.Tx, a store.Action) bool {
			return a.PodUID != asked.PodUID && a.Namespace == asked.Namespace && a.Containers[0].Container == asked.Containers[0].Container
		}
	case s.misbehaves(fault.FirstGeneration):
		keep = func(tx *store.Tx, a store.Action) bool { return a.ID == restoredFrom(tx, asked.ID) }
	default:
		return asked, nil
	}
	answer := asked
	err := s.store.View(func(tx *store.Tx) error {
		other, there, err := store.Newest(tx.Actions, store.CreatedAction, func(a store.Action) bool {
			return a.Type == propagator.ActionCheckpointPod && a.Status == propagator.StatusReady && keep(tx, a)
		})
		if there {
			answer = other
		}
		return err
	})
	return answer, err
}

// restoredFrom is the checkpoint from which the pod of a checkpoint was restored itself.
func restoredFrom(tx *store.Tx, action string) string {
	spec, _, err := tx.Specs.Get(action)
	var pod struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err != nil || json.Unmarshal(spec, &pod) != nil {
		return ""
	}
	return pod.Metadata.Annotations[work.AnnotationCheckpoint]
}
