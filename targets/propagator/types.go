// Package propagator is the one definition of Cedana's API server, the propagator: its wire types, a client and
// a poller. The client, the tests and the local stand-in server all use these types, so they cannot drift apart.
package propagator

import (
	"encoding/json"
	"time"
)

// OperationStatus is the state of an action as GET /checkpoint/status/{action_id} tells it.
type OperationStatus string

// The states in their order. Only StatusReady and StatusError are terminal.
const (
	StatusInitialized       OperationStatus = "initialized"
	StatusProcessing        OperationStatus = "processing"
	StatusCheckpointCreated OperationStatus = "checkpoint_created"
	StatusReady             OperationStatus = "ready"
	StatusError             OperationStatus = "error"
	StatusNotFound          OperationStatus = "not_found"
)

// CheckpointStatus is the state of a checkpoint row.
type CheckpointStatus string

// The states of a checkpoint row in their order.
const (
	CheckpointInitializing     CheckpointStatus = "initializing"
	CheckpointUpdatedInfo      CheckpointStatus = "updated_info"
	CheckpointPossiblyUploaded CheckpointStatus = "possibly_uploaded"
	CheckpointReady            CheckpointStatus = "ready"
	CheckpointDeprecated       CheckpointStatus = "deprecated"
)

// ActionType is the kind of an action.
type ActionType string

// The kinds of action that the API reports.
const (
	ActionCheckpointPod ActionType = "checkpoint_pod"
	ActionRestorePod    ActionType = "restore_pod"
	ActionHeartbeat     ActionType = "heartbeat"
)

// CheckpointKind says what a checkpoint holds.
type CheckpointKind string

// The kinds of checkpoint; KindSimple is the server's default.
const (
	KindSimple     CheckpointKind = "simple"
	KindRootfs     CheckpointKind = "rootfs"
	KindRootfsOnly CheckpointKind = "rootfsonly"
)

// Reasons for a checkpoint and for a restore.
const (
	ReasonHeartbeat         = "heartbeat"
	ReasonManual            = "manual"
	ReasonNodeTermination   = "nodeTermination"
	ReasonNodeUnschedulable = "nodeUnschedulable"
)

// CheckpointPodRequest is the body of POST /checkpoint/pod.
type CheckpointPodRequest struct {
	// PodID is the pod's Kubernetes UID.
	PodID     string         `json:"pod_id,omitempty"`
	PodName   string         `json:"pod_name,omitempty"`
	Namespace string         `json:"namespace,omitempty"`
	ClusterID string         `json:"cluster_id,omitempty"`
	Kind      CheckpointKind `json:"kind,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	// RuncRoot is not in the published schema, but Cedana's own suite sends it. Empty means the node's own.
	RuncRoot  string               `json:"runc_root,omitempty"`
	Overrides *CheckpointOverrides `json:"overrides,omitempty"`
}

// CheckpointOverrides replaces the cluster's checkpoint settings for one request.
type CheckpointOverrides struct {
	// CriuOpts is a JSON object, as text, of CRIU's own options.
	CriuOpts    string `json:"criu_opts,omitempty"`
	Directory   string `json:"directory,omitempty"`
	Compression string `json:"compression,omitempty"`
	Streams     int32  `json:"streams,omitempty"`
	// Asynchronous tells of the dump (StatusCheckpointCreated) before its upload.
	Asynchronous bool `json:"asynchronous,omitempty"`
	// Incremental asks for what changed since the last checkpoint alone; only the newer API has it.
	Incremental bool `json:"incremental,omitempty"`
}

// RestorePodRequest is the body of POST /restore/pod.
type RestorePodRequest struct {
	// ActionID is the id of the checkpoint action (not of the checkpoint).
	ActionID  string            `json:"action_id"`
	ClusterID string            `json:"cluster_id,omitempty"`
	Reason    string            `json:"reason"`
	Overrides *RestoreOverrides `json:"overrides,omitempty"`
}

// RestoreOverrides changes how one restore is done.
type RestoreOverrides struct {
	CriuOpts string `json:"criu_opts,omitempty"`
	PodName  string `json:"pod_name,omitempty"`
}

// Status is the body of GET /checkpoint/status/{action_id}.
type Status struct {
	Status  OperationStatus `json:"status"`
	Details string          `json:"details,omitempty"`
}

// Action is one row of GET /actions.
type Action struct {
	ActionID     string     `json:"action_id"`
	CheckpointID string     `json:"checkpoint_id"`
	Status       string     `json:"status"`
	Type         ActionType `json:"type"`
	// Details is free-form: on this backend an object that may have "error", "pod_name", "namespace", "cluster_id",
	// "restored_pod", "source_action_id".
	Details                      json.RawMessage `json:"details"`
	GPU                          string          `json:"gpu"`
	Platform                     string          `json:"platform"`
	ActionTimestamp              *time.Time      `json:"action_timestamp,omitempty"`
	CheckpointCompletedTimestamp *time.Time      `json:"checkpoint_completed_timestamp,omitempty"`
	NodeName                     string          `json:"node_name,omitempty"`
	Reason                       string          `json:"reason,omitempty"`
	// TotalDuration is in nanoseconds, TotalIO in bytes.
	TotalDuration int64 `json:"total_duration,omitempty"`
	TotalIO       int64 `json:"total_io,omitempty"`
	// Cluster is not in the published schema: some servers send it, others say it in the details. ClusterID is either.
	Cluster string `json:"cluster_id,omitempty"`
	// CheckpointName is what the container calls its checkpoints (CEDANA_CHECKPOINT). It, Delta, ParentCheckpointID and
	// WorkloadKind, the kind of the pod's owner, are in the newer API alone.
	CheckpointName     string `json:"checkpoint_name,omitempty"`
	Delta              *bool  `json:"delta,omitempty"`
	ParentCheckpointID string `json:"parent_checkpoint_id,omitempty"`
	WorkloadKind       string `json:"workload_kind,omitempty"`
}

// Checkpoint is one row of GET /checkpoints.
type Checkpoint struct {
	ID       string           `json:"id"`
	Status   CheckpointStatus `json:"status"`
	GPU      string           `json:"gpu"`
	Platform string           `json:"platform"`
	Name     string           `json:"name,omitempty"`
	Checksum string           `json:"checksum,omitempty"`
	// Info is free-form: CheckpointInfo as far as the server gives it.
	Info json.RawMessage `json:"info"`
	// Delta says that this is but what changed since ParentCheckpointID; the newer API has both, and requires Delta.
	Delta              *bool  `json:"delta,omitempty"`
	ParentCheckpointID string `json:"parent_checkpoint_id,omitempty"`
}

// ActionDetails is the body of GET /actions/{id}, which only the newer API has.
type ActionDetails struct {
	ActionID                     string          `json:"action_id"`
	Type                         ActionType      `json:"type"`
	Status                       string          `json:"status"`
	Details                      json.RawMessage `json:"details"`
	ActionTimestamp              *time.Time      `json:"action_timestamp,omitempty"`
	CheckpointCompletedTimestamp *time.Time      `json:"checkpoint_completed_timestamp,omitempty"`
	CheckpointID                 string          `json:"checkpoint_id,omitempty"`
	CheckpointInfo               json.RawMessage `json:"checkpoint_info,omitempty"`
	CheckpointName               string          `json:"checkpoint_name,omitempty"`
	// CheckpointSize is in bytes.
	CheckpointSize int64  `json:"checkpoint_size,omitempty"`
	GPU            string `json:"gpu,omitempty"`
	NodeName       string `json:"node_name,omitempty"`
	Platform       string `json:"platform,omitempty"`
	Reason         string `json:"reason,omitempty"`
	RestorePath    string `json:"restore_path,omitempty"`
	// TotalDuration is in nanoseconds, TotalIO in bytes.
	TotalDuration int64 `json:"total_duration,omitempty"`
	TotalIO       int64 `json:"total_io,omitempty"`
}

// CheckpointInfo is what the local server puts in Checkpoint.Info; every field may be absent elsewhere.
type CheckpointInfo struct {
	// Size of the archive in bytes.
	Size      int64      `json:"size,omitempty"`
	ClusterID string     `json:"cluster_id,omitempty"`
	ActionID  string     `json:"action_id,omitempty"`
	PodName   string     `json:"pod_name,omitempty"`
	Namespace string     `json:"namespace,omitempty"`
	Container string     `json:"container,omitempty"`
	NodeName  string     `json:"node_name,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
	// CRIU, Runc, Kernel and Arch tie a checkpoint to what can restore it.
	CRIU   string `json:"criu,omitempty"`
	Runc   string `json:"runc,omitempty"`
	Kernel string `json:"kernel,omitempty"`
	Arch   string `json:"arch,omitempty"`
	// Freeze is how long the pod stood still, in nanoseconds.
	Freeze int64 `json:"freeze,omitempty"`
	// Profiling has named durations in nanoseconds.
	Profiling map[string]int64 `json:"profiling,omitempty"`
	Error     string           `json:"error,omitempty"`
}

// CheckpointInfoRequest is the body of PUT /checkpoints/info/{id}.
type CheckpointInfoRequest struct {
	GPU      string          `json:"gpu"`
	Platform string          `json:"platform"`
	Info     json.RawMessage `json:"info"`
}

// UploadedRequest is the body of POST /checkpoints/uploaded/{id}.
type UploadedRequest struct {
	RestorePath string `json:"restore_path"`
}

// RestoreInfoRequest is the body of PUT /restores/info/{id}; id is the restore action's.
type RestoreInfoRequest struct {
	Error         string          `json:"error,omitempty"`
	Profiling     json.RawMessage `json:"profiling,omitempty"`
	TotalDuration int64           `json:"total_duration,omitempty"`
	TotalIO       int64           `json:"total_io,omitempty"`
}

// CheckpointStatusWithPodSpec is the body of POST /actions/upload.
type CheckpointStatusWithPodSpec struct {
	ActionID              string          `json:"action_id"`
	Status                string          `json:"status"`
	PodID                 string          `json:"pod_id,omitempty"`
	PodSpec               json.RawMessage `json:"pod_spec,omitempty"`
	PodMetadataSpec       json.RawMessage `json:"pod_metadata_spec,omitempty"`
	PersistentVolumeClaim json.RawMessage `json:"persistent_volume_claim,omitempty"`
}

// Cluster is one row of GET /cluster.
type Cluster struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Status   string          `json:"status"`
	Kind     string          `json:"kind,omitempty"`
	LastSync *time.Time      `json:"last_sync,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// CreateClusterRequest is the body of POST /cluster, which creates or updates by name.
type CreateClusterRequest struct {
	ClusterName string `json:"cluster_name"`
	Kind        string `json:"kind,omitempty"`
}

// ClusterSyncRequest is the body of POST /cluster/sync: the manager reports a resource of its cluster.
type ClusterSyncRequest struct {
	ClusterID string `json:"cluster_id"`
	// Resource is the raw Kubernetes object with a "type" beside its own fields: Pod, PodGone, Node, Job, None or another.
	Resource json.RawMessage `json:"resource"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// TotalCount is the body of GET /cluster/count.
type TotalCount struct {
	TotalCount int64 `json:"total_count"`
}

// ErrorBody is the body of every 4xx and 5xx.
type ErrorBody struct {
	Message string  `json:"message"`
	Code    *string `json:"code,omitempty"`
	Details any     `json:"details,omitempty"`
}
