package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

func (s *Server) listCheckpoints(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	var wanted map[string]bool
	if text := query.Get("ids"); text != "" {
		wanted = map[string]bool{}
		for _, part := range strings.Split(text, ",") {
			id, err := parseID(strings.TrimSpace(part), "ids")
			if err != nil {
				return err
			}
			wanted[id] = true
		}
	}
	cluster := query.Get("cluster_id")
	if cluster != "" {
		id, err := parseID(cluster, "cluster_id")
		if err != nil {
			return err
		}
		cluster = id
	}
	var rows []store.Rendered[store.Checkpoint]
	err := s.store.View(func(tx *store.Tx) (err error) {
		rows, err = tx.Checkpoints.Render(version(r), func(c store.Checkpoint) bool {
			return (wanted == nil || wanted[c.ID]) && matches(cluster, c.ClusterID)
		}, func(c store.Checkpoint) ([]byte, error) {
			row := c.Checkpoint
			if row.Delta = new(bool); !newer(r) {
				olderCheckpoint(&row)
			}
			return json.Marshal(row)
		})
		return err
	})
	if err != nil {
		return err
	}
	return writeNewestFirst(w, rows, func(c *store.Checkpoint) time.Time { return c.Created })
}

func newRow(id string, created time.Time) store.Checkpoint {
	return store.Checkpoint{
		Checkpoint: propagator.Checkpoint{
			ID: id, Status: propagator.CheckpointInitializing, GPU: noGPU, Info: json.RawMessage("{}"),
		},
		Created: created,
	}
}

func (s *Server) newCheckpoint(w http.ResponseWriter, _ *http.Request) error {
	row := newRow(uuid.NewString(), s.now())
	if err := s.store.Update(func(tx *store.Tx) error { return tx.Checkpoints.Put(row.ID, row) }); err != nil {
		return err
	}
	return writeText(w, row.ID)
}

// changeRow changes a checkpoint's row and answers with its id.
func (s *Server) changeRow(w http.ResponseWriter, id string, change func(*store.Tx, *store.Checkpoint) error) error {
	err := s.store.Update(func(tx *store.Tx) error {
		row, ok, err := tx.Checkpoints.Get(id)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("Checkpoint not found: %s", id)
		}
		if err := change(tx, &row); err != nil {
			return err
		}
		return tx.Checkpoints.Put(id, row)
	})
	if err != nil {
		return err
	}
	return writeText(w, id)
}

// deprecate gives a checkpoint up. Again is no error; a checkpoint that is not there is one, or a typing error would
// look like a clean-up.
func (s *Server) deprecate(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "checkpoint id")
	if err != nil {
		return err
	}
	return s.changeRow(w, id, func(_ *store.Tx, row *store.Checkpoint) error {
		if row.Deprecated == nil {
			now := s.now()
			row.Status, row.Deprecated = propagator.CheckpointDeprecated, &now
		}
		return nil
	})
}

func (s *Server) putCheckpointInfo(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "checkpoint id")
	if err != nil {
		return err
	}
	var req propagator.CheckpointInfoRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if req.Platform == "" || req.GPU == "" {
		return badRequest("gpu and platform are required")
	}
	var info propagator.CheckpointInfo
	if !isNull(req.Info) {
		if err := json.Unmarshal(req.Info, &info); err != nil {
			return badRequest("bad info: %v", err)
		}
	}
	return s.changeRow(w, id, func(tx *store.Tx, row *store.Checkpoint) error {
		if info.ActionID != "" && row.ActionID == "" {
			action, ok, err := tx.Actions.Get(info.ActionID)
			if err != nil {
				return err
			}
			if !ok || action.Type != propagator.ActionCheckpointPod {
				return badRequest("bad info: action_id %.64q is no checkpoint action", info.ActionID)
			}
			row.ActionID, row.ClusterID = action.ID, action.ClusterID
		}
		row.GPU, row.Platform = req.GPU, req.Platform
		if !isNull(req.Info) {
			row.Info = req.Info
		}
		if row.Status == propagator.CheckpointInitializing {
			row.Status = propagator.CheckpointUpdatedInfo
		}
		return nil
	})
}

// uploaded notes that an archive is said to be in place. The row becomes ready with its action, once that was checked;
// a row of no action, there and then.
func (s *Server) uploaded(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "checkpoint id")
	if err != nil {
		return err
	}
	var req propagator.UploadedRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	return s.changeRow(w, id, func(tx *store.Tx, row *store.Checkpoint) error {
		if row.Deprecated != nil {
			return badRequest("checkpoint %s is deprecated", id)
		}
		row.Path = req.RestorePath
		if row.Status == propagator.CheckpointReady {
			return nil
		}
		row.Status = propagator.CheckpointPossiblyUploaded
		if row.ActionID == "" {
			return s.readyAlone(row)
		}
		action, ok, err := tx.Actions.Get(row.ActionID)
		if err != nil || !ok || action.Status != propagator.StatusProcessing {
			return err
		}
		action.Status = propagator.StatusCheckpointCreated
		return tx.Actions.Put(action.ID, action)
	})
}

func (s *Server) readyAlone(row *store.Checkpoint) error {
	if row.Path == "" {
		return badRequest("restore_path is required")
	}
	entry, err := s.archives.Stat(row.Path)
	if err != nil {
		return badRequest("restore_path %.200q: %v", row.Path, err)
	}
	row.Status, row.Checksum = propagator.CheckpointReady, entry.SHA256
	return nil
}

// checkpointPath is where the latest ready checkpoint of a name is, or the latest of all.
func (s *Server) checkpointPath(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("name")
	var latest store.Checkpoint
	var there bool
	err := s.store.View(func(tx *store.Tx) (err error) {
		latest, there, err = store.Newest(tx.Checkpoints, store.CreatedCheckpoint, func(c store.Checkpoint) bool {
			return c.Status == propagator.CheckpointReady && matches(name, c.Name)
		})
		return err
	})
	if err != nil {
		return err
	}
	if !there {
		return notFound("no ready checkpoint of name %.200q", name)
	}
	return writeText(w, latest.Path)
}

// mergeInfo adds what the server knows to what a worker tells.
func mergeInfo(told json.RawMessage, known propagator.CheckpointInfo) (json.RawMessage, error) {
	merged := map[string]json.RawMessage{}
	if !isNull(told) {
		if err := json.Unmarshal(told, &merged); err != nil {
			return nil, fmt.Errorf("info is no object: %w", err)
		}
	}
	raw, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	var own map[string]json.RawMessage
	if err := json.Unmarshal(raw, &own); err != nil {
		return nil, err
	}
	for key, value := range own {
		merged[key] = value
	}
	return json.Marshal(merged)
}
