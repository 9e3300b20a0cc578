package store

import (
	"encoding/json"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// Cluster is a registered cluster; its key is the id.
type Cluster = propagator.Cluster

// Pod is a pod as its cluster's manager reported it last; its key is PodKey.
type Pod struct {
	ClusterID string `json:"cluster_id"`
	UID       string `json:"uid"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	NodeName  string `json:"node_name,omitempty"`
	Phase     string `json:"phase,omitempty"`
	// Object is the whole v1.Pod.
	Object json.RawMessage `json:"object"`
}

// PodKey sorts a cluster's pods together.
func PodKey(clusterID, uid string) string { return clusterID + "/" + uid }

// Node is a node as its cluster's manager reported it last; its key is NodeKey.
type Node struct {
	ClusterID string          `json:"cluster_id"`
	Name      string          `json:"name"`
	UID       string          `json:"uid"`
	Object    json.RawMessage `json:"object"`
}

// NodeKey sorts a cluster's nodes together.
func NodeKey(clusterID, name string) string { return clusterID + "/" + name }

// Resource is what a cluster's manager reported of a type that is neither Pod nor Node; its key is ResourceKey.
type Resource struct {
	ClusterID string `json:"cluster_id"`
	Type      string `json:"type"`
	// ID is the uid, or namespace and name of what has none.
	ID     string          `json:"id"`
	Object json.RawMessage `json:"object"`
}

// ResourceKey sorts a cluster's resources together, and those of a type; with an empty type, and an empty id, it is the
// prefix of all.
func ResourceKey(clusterID, resourceType, id string) string {
	if resourceType == "" {
		return clusterID + "/"
	}
	return clusterID + "/" + resourceType + "/" + id
}

// Action is a checkpoint or a restore; its key is the id. The pod that it is about is in Specs under the same key.
type Action struct {
	ID        string                     `json:"id"`
	Type      propagator.ActionType      `json:"type"`
	Status    propagator.OperationStatus `json:"status"`
	Error     string                     `json:"error,omitempty"`
	ClusterID string                     `json:"cluster_id"`
	Reason    string                     `json:"reason,omitempty"`
	Created   time.Time                  `json:"created"`
	Ended     *time.Time                 `json:"ended,omitempty"`
	// Key is the idempotency key of the request; empty for none.
	Key string `json:"key,omitempty"`

	// The source pod's.
	PodUID    string `json:"pod_uid"`
	PodName   string `json:"pod_name"`
	Namespace string `json:"namespace"`
	// NodeName is where the pod was checkpointed, or where it was restored.
	NodeName string `json:"node_name,omitempty"`

	// CheckpointID is the first container's; of a restore, that of the checkpoint it restores.
	CheckpointID string `json:"checkpoint_id,omitempty"`
	// CheckpointName is what the source pod calls its checkpoints, WorkloadKind the kind of its owner; empty for none.
	CheckpointName string          `json:"checkpoint_name,omitempty"`
	WorkloadKind   string          `json:"workload_kind,omitempty"`
	GPU            string          `json:"gpu,omitempty"`
	Platform       string          `json:"platform,omitempty"`
	Duration       int64           `json:"duration,omitempty"`
	IO             int64           `json:"io,omitempty"`
	Profiling      json.RawMessage `json:"profiling,omitempty"`

	// Of a checkpoint.
	Kind       propagator.CheckpointKind       `json:"kind,omitempty"`
	RuncRoot   string                          `json:"runc_root,omitempty"`
	Overrides  *propagator.CheckpointOverrides `json:"overrides,omitempty"`
	Containers []work.ContainerCheckpoint      `json:"containers,omitempty"`

	// Of a restore.
	SourceActionID string `json:"source_action_id,omitempty"`
	WantedPodName  string `json:"wanted_pod_name,omitempty"`
	RestoredPod    string `json:"restored_pod,omitempty"`
}

// HasEnded reports whether the action has ended.
func (a Action) HasEnded() bool {
	return a.Status == propagator.StatusReady || a.Status == propagator.StatusError
}

// Checkpoint is one container's checkpoint; its key is the id.
type Checkpoint struct {
	propagator.Checkpoint
	ActionID  string    `json:"action_id,omitempty"`
	ClusterID string    `json:"cluster_id,omitempty"`
	Path      string    `json:"path,omitempty"`
	Created   time.Time `json:"created"`
	// Deprecated is when it became so.
	Deprecated *time.Time `json:"deprecated,omitempty"`
}

// CreatedAction is for Newest.
func CreatedAction(a Action) time.Time { return a.Created }

// CreatedCheckpoint is for Newest.
func CreatedCheckpoint(c Checkpoint) time.Time { return c.Created }
