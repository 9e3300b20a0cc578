package listing

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// CheckpointLister is the part of the propagator's client that lists checkpoints.
type CheckpointLister interface {
	// RawCheckpoints gives each checkpoint as the server sent it.
	RawCheckpoints(ctx context.Context, filter propagator.CheckpointFilter) ([]json.RawMessage, error)
}

// Checkpoints prints the checkpoints, narrowed by CLUSTER_ID and STATUS.
func Checkpoints(ctx context.Context, con *console.Console, api CheckpointLister, s *settings.Listing) error {
	raw, err := api.RawCheckpoints(ctx, propagator.CheckpointFilter{
		ClusterID: s.ClusterID, Status: propagator.CheckpointStatus(s.Status),
	})
	if err != nil {
		return fmt.Errorf("list checkpoints: %w", err)
	}
	return list[checkpoint]{
		one: "checkpoint", many: "checkpoints", of: narrowed("cluster", s.ClusterID, "status", s.Status),
		read:             readCheckpoint,
		columns:          checkpointColumns,
		when:             func(c checkpoint) time.Time { return timeOf(c.info.CreatedAt) },
		id:               func(c checkpoint) string { return c.ID },
		ofUnknownCluster: func(c checkpoint) bool { return c.info.ClusterID == "" },
	}.print(con, s, raw)
}

// checkpoint is a row with what is understood of its free-form info.
type checkpoint struct {
	propagator.Checkpoint
	info propagator.CheckpointInfo
}

func readCheckpoint(raw json.RawMessage) (checkpoint, error) {
	row, err := decode[propagator.Checkpoint](raw)
	c := checkpoint{Checkpoint: row}
	// Info has no schema: one that is not as the local server writes it gives nothing.
	if err == nil && json.Unmarshal(row.Info, &c.info) != nil {
		c.info = propagator.CheckpointInfo{}
	}
	return c, err
}

var checkpointColumns = []column[checkpoint]{
	{"ID", func(c checkpoint) string { return c.ID }},
	{"NAME", func(c checkpoint) string { return c.Name }},
	{"STATUS", func(c checkpoint) string { return string(c.Status) }},
	{"PLATFORM", func(c checkpoint) string { return c.Platform }},
	{"GPU", func(c checkpoint) string { return c.GPU }},
	{"SIZE", func(c checkpoint) string {
		if c.info.Size <= 0 {
			return ""
		}
		return units.BytesSize(float64(c.info.Size))
	}},
	{"CLUSTER", func(c checkpoint) string { return c.info.ClusterID }},
	{"POD", func(c checkpoint) string { return pod(c.info.Namespace, c.info.PodName) }},
	{"CREATED", func(c checkpoint) string { return moment(timeOf(c.info.CreatedAt)) }},
}

// pod is a pod's name with its namespace, as far as they are given.
func pod(namespace, name string) string {
	if name == "" {
		return ""
	}
	return strings.TrimPrefix(namespace+"/"+name, "/")
}
