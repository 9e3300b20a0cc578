package listing

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// ActionLister is the part of the propagator's client that lists actions.
type ActionLister interface {
	// RawActions gives each action as the server sent it.
	RawActions(ctx context.Context, filter propagator.ActionFilter) ([]json.RawMessage, error)
}

// Actions prints the actions, narrowed by TYPE, CLUSTER_ID and STATUS.
func Actions(ctx context.Context, con *console.Console, api ActionLister, s *settings.Listing) error {
	raw, err := api.RawActions(ctx, propagator.ActionFilter{
		Type: propagator.ActionType(s.Type), ClusterID: s.ClusterID, Status: s.Status,
	})
	if err != nil {
		return fmt.Errorf("list actions: %w", err)
	}
	return list[action]{
		one: "action", many: "actions", of: narrowed("type", s.Type, "cluster", s.ClusterID, "status", s.Status),
		read:             readAction,
		columns:          actionColumns,
		when:             func(a action) time.Time { return timeOf(a.ActionTimestamp) },
		id:               func(a action) string { return a.ActionID },
		ofUnknownCluster: func(a action) bool { return a.ClusterID() == "" },
	}.print(con, s, raw)
}

// action is a row with what is understood of its free-form details.
type action struct {
	propagator.Action
	details actionDetails
}

type actionDetails struct {
	PodName   string `json:"pod_name"`
	Namespace string `json:"namespace"`
	Error     string `json:"error"`
}

func readAction(raw json.RawMessage) (action, error) {
	row, err := decode[propagator.Action](raw)
	a := action{Action: row}
	if err == nil && json.Unmarshal(row.Details, &a.details) != nil {
		a.details = actionDetails{}
	}
	return a, err
}

var actionColumns = []column[action]{
	{"ID", func(a action) string { return a.ActionID }},
	{"TYPE", func(a action) string { return string(a.Type) }},
	{"STATUS", func(a action) string { return a.Status }},
	{"CHECKPOINT", func(a action) string { return a.CheckpointID }},
	{"CLUSTER", func(a action) string { return a.ClusterID() }},
	{"NODE", func(a action) string { return a.NodeName }},
	{"POD", func(a action) string { return pod(a.details.Namespace, a.details.PodName) }},
	{"TOOK", func(a action) string {
		if a.TotalDuration <= 0 {
			return ""
		}
		return time.Duration(a.TotalDuration).Round(time.Millisecond).String()
	}},
	{"STARTED", func(a action) string { return moment(timeOf(a.ActionTimestamp)) }},
	{"ERROR", func(a action) string { return a.details.Error }},
}
