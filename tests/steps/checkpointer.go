package steps

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/tests/pods"
)

// Checkpointer is all that cases ask of a system that checkpoints and restores pods. The propagator is the one
// implementation today. Kubernetes' own pod checkpoints (KEP-5823) fit too: a PodCheckpoint is what Checkpoint makes, and
// a pod with spec.restoreFrom what Restore makes.
type Checkpointer interface {
	// Checkpoint asks for a checkpoint of a running pod, which runs on. It returns when the request was accepted; an error
	// beside an operation is of one that may go on.
	Checkpoint(ctx context.Context, p *corev1.Pod, o CheckpointOptions) (Operation, error)
	// Restore asks for a new pod from what a checkpoint operation of the pod original has made.
	Restore(ctx context.Context, from Operation, original *corev1.Pod) (Operation, error)
	// Wait waits until an operation has ended. Its error is a *FailedError when it ended in error.
	Wait(ctx context.Context, o Operation) error
	// Status is that of an operation, asked for by its name and not taken from the list.
	Status(ctx context.Context, o Operation) (Status, error)
	// Operations lists every operation that there is.
	Operations(ctx context.Context) ([]Status, error)
	// Checkpoints lists what an operation has made; that may be nothing.
	Checkpoints(ctx context.Context, o Operation) ([]Record, error)
	// Deprecate gives a checkpoint up: its system may remove it.
	Deprecate(ctx context.Context, r Record) error
	// Orphans are stored checkpoints that belong to no operation: they would stay for good.
	Orphans(ctx context.Context) ([]string, error)
	// Declare makes a pod one that is restored when it is created, without being asked for: from the newest checkpoint of a
	// pod that declared the same name, else it starts cold.
	Declare(name string) pods.Option
	// Can tells what of it can be had here.
	Can() Capabilities
}

// CheckpointOptions are what a checkpoint may be asked for with.
type CheckpointOptions struct {
	// RuntimeRoot is where the container runtime keeps its state. Default: that of the environment.
	RuntimeRoot string
	// ByName: the pod is named by its name and namespace alone, not by its UID.
	ByName bool
	// Compression of what is stored. Default: as the system is configured.
	Compression string
}

// Capabilities are what a Checkpointer says or promises beyond its interface, where that is known. Cases check what is
// promised here and nothing else.
type Capabilities struct {
	// PerContainer: an operation makes one checkpoint for each container; elsewhere at least one.
	PerContainer bool
	// Details: a Record has size, freeze, pod and node, and the listed Status of a checkpoint has Took and IO.
	Details bool
	// RestoreDetails: the listed Status of a restore has the node of its pod, and the checkpoint that it is of.
	RestoreDetails bool
	// ReadyPod: a restore that has ended well has a pod that is Ready.
	ReadyPod bool
	// NoOwner: a restored pod has no owner.
	NoOwner bool
	// RuntimeRoot: a checkpoint with a runtime root that is not the nodes' ends in an error that names it.
	RuntimeRoot bool
	// ColdStartEvent: a pod that declares a name that no checkpoint has is told by an event that it starts cold.
	ColdStartEvent bool
	// Orphans: stored checkpoints can be listed.
	Orphans bool
}

// Operation is a checkpoint or a restore that was asked for. Only its Checkpointer knows what its name means.
type Operation struct{ name string }

// NewOperation is the operation of a name.
func NewOperation(name string) Operation { return Operation{name} }

// String is its name, for people.
func (o Operation) String() string { return o.name }

// IsZero reports whether there is none.
func (o Operation) IsZero() bool { return o.name == "" }

// Kind of an operation, as its Checkpointer calls it; messages have it.
type Kind string

// Phase of an operation.
type Phase int

// The phases. An operation stays in Succeeded and in Failed.
const (
	Running Phase = iota
	Succeeded
	Failed
)

// Status is an operation as its Checkpointer lists it.
type Status struct {
	Operation Operation
	Restore   bool
	Kind      Kind
	Phase     Phase
	// Word is the phase in the Checkpointer's own word, Details what it says besides.
	Word, Details string
	// Checkpoints are the IDs of those that it names.
	Checkpoints []string
	// Node and Pod are where a restore has made its pod, and the pod's name; empty where that is not told.
	Node, Pod string
	// Took is how long the operation's work took, IO how many bytes it moved; 0 where that is not told.
	Took time.Duration
	IO   int64
}

// Record is one checkpoint, as its Checkpointer lists it.
type Record struct {
	ID                string
	Ready, Deprecated bool
	// Word is its state in the Checkpointer's own word.
	Word string
	// What follows is there with Capabilities.Details.
	Pod, Node string
	Size      int64
	// Freeze is how long the pod stood still, Profile what else took how long.
	Freeze  time.Duration
	Profile map[string]time.Duration
	// CRIU is the version that made it, empty where that is not told.
	CRIU string
}

// FailedError is an operation that ended in error.
type FailedError struct {
	Operation Operation
	// Details say why, in the Checkpointer's words.
	Details string
	err     error
}

func (e *FailedError) Error() string { return e.err.Error() }

func (e *FailedError) Unwrap() error { return e.err }
