// Package work is the wire between the local propagator and its manager and helpers: a unit of work is long-polled
// by the one that has to do it and answered with a result. Real Cedana does this over a message queue; only the
// stand-in's own parts use this package.
//
//	GET  /internal/v1/work?role=helper|manager&cluster_id=ID&node=NAME&wait=20s
//	     200 Work; 204 when nothing came within wait (a Go duration, at most MaxWait); 404 when the cluster is not
//	     registered. node is required for helpers. A poll that breaks off gives its work back.
//	POST /internal/v1/work/{id}/result   Result   200; 404 when the work is unknown or was given up on: undo it.
//	POST /internal/v1/work/{id}/renew    no body  200; 404 as above, its message being why the action has ended (a
//	     restore that CRIU refused, say).
//	GET, HEAD, PUT /internal/v1/blobs/{path}      the archive store behind GET/PUT /v2/files/{path}. PUT is atomic, and
//	     what it was answered for outlives the propagator; with HeaderSHA256 it is checked against the sum and refused (400) when it
//	     differs. Every answer has HeaderSHA256 where the sum is known.
//	GET  /internal/v1/checkpoints/{action_id}/manifest?namespace=NAME   200 Manifest; 404 when there is no such finished
//	     checkpoint or its archives are gone; 403 when it is of a pod of another namespace than that of the pod to restore.
//	POST /internal/v1/restores/declared   Declared   200 Choice: what a container that declares a checkpoint's name is to
//	     be restored from, also when that is nothing. The manager is given the event that says so (KindEvent).
//
// All of it wants the bearer token and has the API's error bodies.
//
// Work is leased: a worker that holds work without a result or a renewal for LeaseDuration has lost it, and the action
// ends in error. Work that nobody takes ends in error too. Of one pod, one checkpoint is handed out at a time.
//
// A checkpoint's result is all the propagator needs: it makes each container's row ready from its ContainerCheckpoint,
// in one step, once the archives are in the store with the size and sum that the result says. The published
// calls (POST /checkpoints, PUT /checkpoints/info/{id}, POST /checkpoints/uploaded/{id}) may be made before it and
// show the steps in between, at the price of a round trip each. They belong to the action once info has its
// "action_id".
//
// POST /v2/cluster/sync has in its resource the raw object with a "type" of Pod or Node beside its own fields, and says
// that one is gone with the metadata SyncMetadata.Deleted. A pod with a deletionTimestamp is still there until then.
package work

import (
	"encoding/json"
	"time"

	"github.com/cedana/cedana-e2e/targets/propagator"
)

// LeaseDuration is how long a worker may hold work without a sign of life.
const LeaseDuration = 30 * time.Second

// MaxWait is the longest that a poll is held.
const MaxWait = 60 * time.Second

// HeaderSHA256 carries the hex sum of an archive.
const HeaderSHA256 = "X-Content-Sha256"

// SyncMetadata is what ClusterSyncRequest.Metadata may hold.
type SyncMetadata struct {
	// Deleted says that the resource, named by its uid or its namespace and name, is gone.
	Deleted bool `json:"deleted,omitempty"`
}

// Role says who does a unit of work.
type Role string

// RoleHelper works on one node, RoleManager on one cluster.
const (
	RoleHelper  Role = "helper"
	RoleManager Role = "manager"
)

// Kind says what is to be done.
type Kind string

const (
	// KindCheckpoint is for the helper on the pod's node: dump every container, upload, report.
	KindCheckpoint Kind = "checkpoint"
	// KindRestore is for the manager: create the pod that restores from the checkpoint.
	KindRestore Kind = "restore"
	// KindEvent is for the manager: write an event about a pod. It belongs to no action, and is lost with the propagator,
	// as events may be.
	KindEvent Kind = "event"
)

// Annotations and labels on a restored pod. The container runtime passes annotations of this prefix on to the OCI
// runtime (containerd's pod_annotations).
const (
	AnnotationPrefix = "cedana.ai/"
	// AnnotationCheckpoint names the checkpoint action that the containers restore from.
	AnnotationCheckpoint = AnnotationPrefix + "checkpoint-action"
	// AnnotationRestore names the restore action; also a label, by which the manager finds what it made.
	AnnotationRestore = AnnotationPrefix + "restore-action"
	LabelRestore      = AnnotationRestore
)

// Work is one unit.
type Work struct {
	ID       string `json:"id"`
	Kind     Kind   `json:"kind"`
	ActionID string `json:"action_id"`
	// Checkpoint is set for KindCheckpoint.
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	// Restore is set for KindRestore.
	Restore *Restore `json:"restore,omitempty"`
	// Event is set for KindEvent.
	Event *Event `json:"event,omitempty"`
}

// Checkpoint asks the helper on NodeName for a checkpoint of a pod.
type Checkpoint struct {
	PodUID    string `json:"pod_uid"`
	PodName   string `json:"pod_name"`
	Namespace string `json:"namespace"`
	NodeName  string `json:"node_name"`
	// RuncRoot is the runc root to look for the containers in; empty for the node's own.
	RuncRoot string `json:"runc_root,omitempty"`
	// CheckpointID is the row of the first container, which is there already.
	CheckpointID string `json:"checkpoint_id"`
	// Pod is the pod as last synced (v1.Pod JSON): the container order and the volumes come from it.
	Pod json.RawMessage `json:"pod"`
	// Overrides are the request's own, which the propagator has checked; absent when it has none.
	Overrides *propagator.CheckpointOverrides `json:"overrides,omitempty"`
}

// Restore asks the manager of a cluster for a pod restored from a checkpoint.
type Restore struct {
	CheckpointActionID string `json:"checkpoint_action_id"`
	// Pod is the stored v1.Pod JSON of the source.
	Pod json.RawMessage `json:"pod"`
	// PodName is the wanted name; empty for the manager's choice (original name + "-restored").
	PodName string `json:"pod_name,omitempty"`
	// Containers are those of the checkpoint, with platform and info.
	Containers []ContainerCheckpoint `json:"containers,omitempty"`
}

// Event is a Kubernetes event about a container.
type Event struct {
	PodUID    string `json:"pod_uid"`
	PodName   string `json:"pod_name"`
	Namespace string `json:"namespace"`
	Container string `json:"container"`
	// Reason is a word in camel case, Message a sentence.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Reasons of events.
const (
	ReasonRestoring = "RestoringFromCheckpoint"
	ReasonColdStart = "NoCheckpoint"
)

// Declared is a container that is being created and declares the name of a checkpoint. All of it comes from containerd
// and the node, none from what the pod's author may choose, but Name.
type Declared struct {
	ClusterID string `json:"cluster_id"`
	PodUID    string `json:"pod_uid"`
	PodName   string `json:"pod_name"`
	Namespace string `json:"namespace"`
	Container string `json:"container"`
	Name      string `json:"name"`
	// ActionID is the checkpoint that another container of the pod was restored from by this name: the whole pod goes on
	// from one moment. Empty for the first.
	ActionID string `json:"action_id,omitempty"`
}

// Choice answers Declared.
type Choice struct {
	// ActionID is the checkpoint action to restore from; empty when there is none, so that the container starts cold.
	ActionID string `json:"action_id,omitempty"`
}

// Result ends a unit of work. Error empty means success.
type Result struct {
	Error string `json:"error,omitempty"`
	// Containers has one entry a container, in the pod's order; set for KindCheckpoint.
	Containers []ContainerCheckpoint `json:"containers,omitempty"`
	// PodName and NodeName are those of the restored pod; set for KindRestore.
	PodName  string `json:"pod_name,omitempty"`
	NodeName string `json:"node_name,omitempty"`
	// Durations in nanoseconds, IO in bytes.
	TotalDuration int64 `json:"total_duration,omitempty"`
	TotalIO       int64 `json:"total_io,omitempty"`
}

// ContainerCheckpoint is one container's part of a pod checkpoint.
type ContainerCheckpoint struct {
	Container string `json:"container"`
	// Name is the checkpoint's name as the container declares it (package bundle); empty when it does not.
	Name string `json:"name,omitempty"`
	// CheckpointID is the row from POST /checkpoints, or for the first container Checkpoint.CheckpointID; empty, the
	// propagator takes that for the first and makes one for any other.
	CheckpointID string `json:"checkpoint_id"`
	// Path is where the archive is in the blob store.
	Path string `json:"path"`
	// SHA256 of the archive, hex.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// GPU, Platform and Info (propagator.CheckpointInfo) are those of CheckpointInfoRequest, for a worker that does
	// not send that beforehand. The propagator adds what it knows itself: size, pod, container, node, ids, time. Whoever
	// restores is given Platform and Info as the row has them by then.
	GPU      string          `json:"gpu,omitempty"`
	Platform string          `json:"platform,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"`
}

// Manifest is what a restoring runtime asks for: GET /internal/v1/checkpoints/{action_id}/manifest.
type Manifest struct {
	ActionID   string                `json:"action_id"`
	Containers []ContainerCheckpoint `json:"containers"`
}
