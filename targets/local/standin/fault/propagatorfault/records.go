package propagatorfault

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// update changes records; what goes wrong is said in the log, and the fault then does not show.
func (in injector) update(change func(*store.Tx) error) {
	if err := in.store.Update(change); err != nil {
		in.log.Error("inject fault", "fault", in.name, "error", err)
	}
}

// undoDeprecation answers a deprecation well and takes it back.
func undoDeprecation(in injector, next http.Handler) http.Handler {
	return on(deprecate, next, func(w http.ResponseWriter, r *http.Request, id string) {
		a := hold(next, r)
		if a.code == http.StatusOK {
			in.warn(r)
			in.update(func(tx *store.Tx) error {
				row, ok, err := tx.Checkpoints.Get(id)
				if err != nil || !ok {
					return err
				}
				return tx.Checkpoints.Put(id, ready(row))
			})
		}
		a.send(w, a.body.Bytes())
	})
}

func ready(row store.Checkpoint) store.Checkpoint {
	row.Deprecated, row.Status = nil, propagator.CheckpointReady
	return row
}

// restoreDeprecated makes a checkpoint's rows good while a restore from it is asked for, and what they were after.
func restoreDeprecated(in injector, next http.Handler) http.Handler {
	return on(restorePod, next, func(w http.ResponseWriter, r *http.Request, _ string) {
		var req propagator.RestorePodRequest
		var rows []store.Checkpoint
		if json.Unmarshal(body(r), &req) == nil && req.ActionID != "" {
			in.update(func(tx *store.Tx) (err error) {
				rows, err = tx.Checkpoints.Where("", func(c store.Checkpoint) bool {
					return c.ActionID == req.ActionID && c.Deprecated != nil
				})
				for _, row := range rows {
					if err == nil {
						err = tx.Checkpoints.Put(row.ID, ready(row))
					}
				}
				return err
			})
		}
		if len(rows) > 0 {
			in.warn(r)
			defer in.update(func(tx *store.Tx) error {
				for _, row := range rows {
					if err := tx.Checkpoints.Put(row.ID, row); err != nil {
						return err
					}
				}
				return nil
			})
		}
		next.ServeHTTP(w, r)
	})
}

// acceptAnyToken shows the handler the right token, whatever the caller's is.
func acceptAnyToken(in injector, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if right := "Bearer " + in.token; r.Header.Get("Authorization") != right {
			in.warn(r)
			r.Header.Set("Authorization", right)
		}
		next.ServeHTTP(w, r)
	})
}

// registerAnew gives a cluster a new id whenever it is registered: under another name first, which it does not keep.
func registerAnew(in injector, next http.Handler) http.Handler {
	return on(createCluster, next, func(w http.ResponseWriter, r *http.Request, _ string) {
		fields := map[string]any{}
		name, ok := "", json.Unmarshal(body(r), &fields) == nil
		if ok {
			name, _ = fields["cluster_name"].(string)
		}
		if strings.TrimSpace(name) == "" {
			next.ServeHTTP(w, r)
			return
		}
		in.warn(r)
		fields["cluster_name"] = name + "-" + uuid.NewString()
		if changed, err := json.Marshal(fields); err == nil {
			setBody(r, changed)
		}
		a := hold(next, r)
		if id := a.body.String(); a.code == http.StatusOK {
			in.update(func(tx *store.Tx) error {
				row, ok, err := tx.Clusters.Get(id)
				if err != nil || !ok {
					return err
				}
				row.Name = name
				return tx.Clusters.Put(id, row)
			})
		}
		a.send(w, a.body.Bytes())
	})
}

// keepCluster answers the removal of a cluster well and removes nothing.
func keepCluster(in injector, next http.Handler) http.Handler {
	return on(deleteCluster, next, func(w http.ResponseWriter, r *http.Request, id string) {
		if uuid.Validate(id) != nil {
			next.ServeHTTP(w, r)
			return
		}
		if refused := refusal(next, r); refused != nil {
			refused.send(w, refused.body.Bytes())
			return
		}
		in.warn(r)
		w.WriteHeader(http.StatusOK)
	})
}

// keepActions puts the actions of a cluster back when it has been removed.
func keepActions(in injector, next http.Handler) http.Handler {
	return on(deleteCluster, next, func(w http.ResponseWriter, r *http.Request, id string) {
		var kept []store.Action
		in.update(func(tx *store.Tx) (err error) {
			kept, err = tx.Actions.Where("", func(a store.Action) bool { return a.ClusterID == id })
			return err
		})
		a := hold(next, r)
		if a.code == http.StatusOK && len(kept) > 0 {
			in.warn(r)
			in.update(func(tx *store.Tx) error {
				for _, action := range kept {
					if err := tx.Actions.Put(action.ID, action); err != nil {
						return err
					}
				}
				return nil
			})
		}
		a.send(w, a.body.Bytes())
	})
}

// forget removes every action that there is when the propagator starts.
func forget(in injector, next http.Handler) http.Handler {
	in.update(func(tx *store.Tx) error {
		all, err := tx.Actions.Where("", nil)
		for _, a := range all {
			if err == nil {
				err = tx.Actions.Delete(a.ID)
			}
		}
		return err
	})
	in.name.Warn(in.log)
	return next
}

// acceptDamage takes what is put in the place of a checkpoint's archive for the archive that the checkpoint was made with.
func acceptDamage(in injector, next http.Handler) http.Handler {
	return on(putArchive, next, func(w http.ResponseWriter, r *http.Request, path string) {
		a := hold(next, r)
		size, err := strconv.ParseInt(a.body.String(), 10, 64)
		if a.code == http.StatusOK && err == nil {
			in.update(func(tx *store.Tx) error {
				all, err := tx.Actions.Where("", func(a store.Action) bool {
					return slices.ContainsFunc(a.Containers, func(c work.ContainerCheckpoint) bool { return c.Path == path })
				})
				for _, action := range all {
					in.warn(r)
					for i, c := range action.Containers {
						if c.Path == path {
							action.Containers[i].SHA256, action.Containers[i].Size = a.header.Get(work.HeaderSHA256), size
						}
					}
					err = errors.Join(err, tx.Actions.Put(action.ID, action))
				}
				return err
			})
		}
		a.send(w, a.body.Bytes())
	})
}
