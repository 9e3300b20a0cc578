package propagator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// User is the id of the token's user or organisation: the cheapest proof that URL and token are right.
func (c *Client) User(ctx context.Context) (string, error) {
	return c.callText(ctx, userCall, decodeText)
}

// CreateCluster registers a cluster, or updates the one of that name, and returns its id.
func (c *Client) CreateCluster(ctx context.Context, name string) (string, error) {
	// Created or updated by name: the same twice, so an unknown outcome may be retried.
	return c.callText(ctx, call{
		method: http.MethodPost, path: "/cluster", body: CreateClusterRequest{ClusterName: name}, accept: asText, repeatable: true,
	}, decodeID)
}

// clustersCall lists all clusters. The server's filters by status and kind are not used: the words of a status are in
// no schema.
var clustersCall = call{method: http.MethodGet, path: "/cluster", accept: asJSON, repeatable: true}

// Clusters lists the registered clusters.
func (c *Client) Clusters(ctx context.Context) ([]Cluster, error) {
	return callList[Cluster](ctx, c, clustersCall)
}

// ClusterFilter narrows RawClusters. Empty fields do not.
type ClusterFilter struct {
	ID     string
	Status string
}

// RawClusters is Clusters with each row as the server sent it, with the fields that Cluster has not.
func (c *Client) RawClusters(ctx context.Context, filter ClusterFilter) ([]json.RawMessage, error) {
	return callRaw(ctx, c, clustersCall, func(row Cluster) bool {
		return filter.ID != "" && row.ID != filter.ID || filter.Status != "" && row.Status != filter.Status
	})
}

// DeleteCluster removes a cluster with everything that depends on it. IsNotFound tells that there was none.
func (c *Client) DeleteCluster(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/cluster/" + url.PathEscape(id), accept: asText, repeatable: true})
	return err
}

// SyncCluster reports one resource of a cluster.
func (c *Client) SyncCluster(ctx context.Context, req ClusterSyncRequest) error {
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/cluster/sync", body: req, accept: asText, repeatable: true})
	return err
}

// CheckpointFilter narrows Checkpoints. Empty fields do not.
type CheckpointFilter struct {
	IDs       []string
	ClusterID string
	// Status is compared here: the API has no such filter.
	Status CheckpointStatus
}

// Checkpoints lists checkpoints. Not every server honours the cluster filter: rows whose info names another cluster
// are dropped here; rows that name none stay.
func (c *Client) Checkpoints(ctx context.Context, filter CheckpointFilter) ([]Checkpoint, error) {
	rows, err := callList[Checkpoint](ctx, c, filter.call())
	return slices.DeleteFunc(rows, filter.drops), err
}

// RawCheckpoints is Checkpoints with each row as the server sent it, with the fields that Checkpoint has not.
func (c *Client) RawCheckpoints(ctx context.Context, filter CheckpointFilter) ([]json.RawMessage, error) {
	return callRaw(ctx, c, filter.call(), filter.drops)
}

func (f CheckpointFilter) call() call {
	query := url.Values{}
	if len(f.IDs) > 0 {
		query.Set("ids", strings.Join(f.IDs, ","))
	}
	if f.ClusterID != "" {
		query.Set("cluster_id", f.ClusterID)
	}
	return call{method: http.MethodGet, path: "/checkpoints", query: query, accept: asJSON, repeatable: true}
}

func (f CheckpointFilter) drops(row Checkpoint) bool {
	if f.Status != "" && row.Status != f.Status {
		return true
	}
	if f.ClusterID == "" {
		return false
	}
	var info CheckpointInfo
	return json.Unmarshal(row.Info, &info) == nil && info.ClusterID != "" && info.ClusterID != f.ClusterID
}

// Deprecate gives a checkpoint up for removal by the server.
func (c *Client) Deprecate(ctx context.Context, checkpointID string) error {
	_, err := c.do(ctx, call{
		method: http.MethodPatch, path: "/checkpoints/deprecate/" + url.PathEscape(checkpointID), accept: asText, repeatable: true,
	})
	return err
}

// PutRestoreInfo reports how a restore went, by the restore action's id. An Error in it ends the action.
func (c *Client) PutRestoreInfo(ctx context.Context, id string, req RestoreInfoRequest) error {
	_, err := c.do(ctx, call{
		method: http.MethodPut, path: "/restores/info/" + url.PathEscape(id), body: req, accept: asText, repeatable: true,
	})
	return err
}

func (c *Client) callText(ctx context.Context, k call, decode func([]byte) (string, error)) (string, error) {
	ans, err := c.do(ctx, k)
	if err != nil {
		return "", err
	}
	return c.text(k, ans, decode)
}

func callList[T any](ctx context.Context, c *Client, k call) ([]T, error) {
	ans, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	var rows []T
	if err := c.json(k, ans, &rows); err != nil {
		return nil, err
	}
	return rows, nil
}

// callRaw leaves the rows as they were sent. One that does not decode stays: it is for the reader to judge.
func callRaw[T any](ctx context.Context, c *Client, k call, drops func(T) bool) ([]json.RawMessage, error) {
	rows, err := callList[json.RawMessage](ctx, c, k)
	return slices.DeleteFunc(rows, func(raw json.RawMessage) bool {
		var row T
		return json.Unmarshal(raw, &row) == nil && drops(row)
	}), err
}
