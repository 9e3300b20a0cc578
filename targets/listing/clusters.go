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

// ClusterLister is the part of the propagator's client that lists clusters.
type ClusterLister interface {
	// RawClusters gives each cluster as the server sent it.
	RawClusters(ctx context.Context, filter propagator.ClusterFilter) ([]json.RawMessage, error)
}

// Clusters prints the registered clusters, narrowed by CLUSTER_ID and STATUS. The last to have synced is first.
func Clusters(ctx context.Context, con *console.Console, api ClusterLister, s *settings.Listing) error {
	raw, err := api.RawClusters(ctx, propagator.ClusterFilter{ID: s.ClusterID, Status: s.Status})
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	return list[propagator.Cluster]{
		one: "cluster", many: "clusters", of: narrowed("id", s.ClusterID, "status", s.Status),
		read:    decode[propagator.Cluster],
		columns: clusterColumns,
		when:    func(c propagator.Cluster) time.Time { return timeOf(c.LastSync) },
		id:      func(c propagator.Cluster) string { return c.ID },
	}.print(con, s, raw)
}

var clusterColumns = []column[propagator.Cluster]{
	{"ID", func(c propagator.Cluster) string { return c.ID }},
	{"NAME", func(c propagator.Cluster) string { return c.Name }},
	{"STATUS", func(c propagator.Cluster) string { return c.Status }},
	{"KIND", func(c propagator.Cluster) string { return c.Kind }},
	{"SYNCED", func(c propagator.Cluster) string { return moment(timeOf(c.LastSync)) }},
}
