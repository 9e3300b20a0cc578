// Package sweep removes what runs that were killed, with the machine that they ran on, have left at a propagator that
// outlives them.
package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Age is how old something must be to be nobody's any more: longer than any run.
const Age = 24 * time.Hour

// API is the part of the propagator's client that a sweep needs.
type API interface {
	Clusters(ctx context.Context) ([]propagator.Cluster, error)
	DeleteCluster(ctx context.Context, id string) error
	Actions(ctx context.Context, filter propagator.ActionFilter) ([]propagator.Action, error)
	Checkpoints(ctx context.Context, filter propagator.CheckpointFilter) ([]propagator.Checkpoint, error)
	Deprecate(ctx context.Context, checkpointID string) error
}

// Run deprecates the checkpoints of pods in namespaces of runs (NAMESPACE-TEST-RUN_ID) and deletes the clusters that runs
// registered (CLUSTER_NAME-RUN_ID-DAY) which are older than Age, and says of each which it is. With DRY_RUN=1 it only says
// so. What has a name of another form is somebody's own and stays, CLUSTER_NAME itself included; so does what was made
// with E2E_RUN_ID set by hand, what tells no age, and the cluster CLUSTER_ID. One that cannot be removed does not keep
// the others from it; all such errors are returned.
func Run(ctx context.Context, con *console.Console, api API, s *settings.Sweep, now time.Time) error {
	w := &sweep{con: con, api: api, settings: s, before: now.Add(-Age)}
	// Checkpoints first: deleting a cluster makes the propagator forget what it has of it.
	err := errors.Join(w.checkpoints(ctx), w.clusters(ctx))
	did := "removed"
	if s.DryRun {
		did = "would remove"
	}
	con.Step("%s %d checkpoints and %d clusters older than %s", did, w.removedCheckpoints, w.removedClusters, Age)
	return err
}

type sweep struct {
	con      *console.Console
	api      API
	settings *settings.Sweep
	// before is the end of the time that is swept.
	before time.Time

	removedCheckpoints, removedClusters int
}

// remove does it, unless this is a dry run, and prints what.
func (w *sweep) remove(what string, do func() error) (done bool, err error) {
	if w.settings.DryRun {
		w.con.Step("would remove %s", what)
		return true, nil
	}
	// Another sweep, or the run's own clean-up, may have been faster.
	if err := do(); err != nil && !propagator.IsNotFound(err) {
		return false, fmt.Errorf("remove %s: %w", what, err)
	}
	w.con.Ok("removed %s", what)
	return true, nil
}

func (w *sweep) clusters(ctx context.Context) error {
	rows, err := w.api.Clusters(ctx)
	if err != nil {
		return fmt.Errorf("list clusters to sweep: %w", err)
	}
	var failed []error
	for _, row := range rows {
		if row.ID == w.settings.ClusterID || !ofRun(row.Name, w.settings.ClusterName, "") {
			continue
		}
		last, how := registered(row.Name), "never synced, registered before"
		if row.LastSync != nil {
			last, how = *row.LastSync, "last synced"
		}
		if last.IsZero() {
			// It may have been registered a second ago.
			w.con.Warn("cluster %s (%s) has never synced, so its age is not known: it stays", row.Name, row.ID)
			continue
		}
		if !last.Before(w.before) {
			continue
		}
		done, err := w.remove(fmt.Sprintf("cluster %s (%s), %s %s", row.Name, row.ID, how, stamp(last)),
			func() error { return w.api.DeleteCluster(ctx, row.ID) })
		if done {
			w.removedClusters++
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (w *sweep) checkpoints(ctx context.Context) error {
	rows, err := w.api.Checkpoints(ctx, propagator.CheckpointFilter{})
	if err != nil {
		return fmt.Errorf("list checkpoints to sweep: %w", err)
	}
	actions, err := w.api.Actions(ctx, propagator.ActionFilter{Type: propagator.ActionCheckpointPod})
	if err != nil {
		return fmt.Errorf("list the actions of the checkpoints to sweep: %w", err)
	}
	madeBy := map[string]propagator.Action{}
	for _, a := range actions {
		if a.CheckpointID != "" {
			madeBy[a.CheckpointID] = a
		}
	}
	var failed []error
	for _, row := range rows {
		if row.Status == propagator.CheckpointDeprecated {
			continue
		}
		namespace, created := origin(row, madeBy[row.ID])
		if !ofRun(namespace, w.settings.Namespace, `-[a-z0-9-]+`) || created == nil || !created.Before(w.before) {
			continue
		}
		done, err := w.remove(fmt.Sprintf("checkpoint %s of a pod in %s, made %s", row.ID, namespace, stamp(*created)),
			func() error { return w.api.Deprecate(ctx, row.ID) })
		if done {
			w.removedCheckpoints++
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// origin is the namespace of a checkpoint's pod and when it was made, as far as the checkpoint's own info tells, else
// as its action does: neither has a schema.
func origin(row propagator.Checkpoint, action propagator.Action) (namespace string, created *time.Time) {
	var info propagator.CheckpointInfo
	if json.Unmarshal(row.Info, &info) == nil {
		namespace, created = info.Namespace, info.CreatedAt
	}
	var details struct {
		Namespace string `json:"namespace"`
	}
	if namespace == "" && json.Unmarshal(action.Details, &details) == nil {
		namespace = details.Namespace
	}
	if created == nil {
		created = action.ActionTimestamp
	}
	return namespace, created
}

// ofRun says whether a run gave that name: the prefix, what the pattern says, and a random run id (eight hexadecimal
// digits; a registration has the day after it, a namespace of a test that was repeated a number).
func ofRun(name, prefix, middle string) bool {
	return prefix != "" && regexp.MustCompile(`^`+regexp.QuoteMeta(prefix)+middle+`-[0-9a-f]{8}(-[0-9]+)?$`).MatchString(name)
}

var registration = regexp.MustCompile(`-[0-9a-f]{8}-([0-9]{8})$`)

// registered is the end of the day on which a run registered a cluster, by its name; zero where that does not tell.
func registered(name string) time.Time {
	match := registration.FindStringSubmatch(name)
	if match == nil {
		return time.Time{}
	}
	day, err := time.Parse(settings.RegistrationDay, match[1])
	if err != nil {
		return time.Time{}
	}
	return day.AddDate(0, 0, 1)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
