// Package fault names what can be broken in the stand-in on purpose, one thing at a time, to see whether the suite
// notices. The packages below it do the breaking, around programs that know nothing of it. The propagator alone is told
// the name, in its container's environment; package relay takes it to the others.
package fault

import (
	"fmt"
	"log/slog"
	"strings"
)

// Variable has the name of the fault in the environment of `mage` and of the propagator's container.
const Variable = "E2E_FAULT"

// Name is one fault; the empty name is none.
type Name string

// Component is the program of the stand-in that has the fault.
type Component string

// The programs of the stand-in.
const (
	Propagator Component = "propagator"
	Manager    Component = "manager"
	Helper     Component = "helper"
	Runtime    Component = "runtime"
)

// Fault is one way to be broken.
type Fault struct {
	Name Name
	// By is the program that has it; where two have to, the one that does the damage.
	By Component
	// Broken says in one line what is wrong with the product.
	Broken string
}

// What a restored process is, or is not.
const (
	ColdStart            Name = "cold-start"
	OlderCheckpoint      Name = "older-checkpoint"
	OtherPod             Name = "other-pod"
	FirstGeneration      Name = "first-generation"
	OneContainerCold     Name = "one-container-cold"
	MemoryFlipped        Name = "memory-flipped"
	FileOffsetReset      Name = "file-offset-reset"
	RestoredCrashes      Name = "restored-crashes"
	NotListening         Name = "not-listening"
	StdoutLost           Name = "stdout-lost"
	TimerStops           Name = "timer-stops"
	ClockStops           Name = "clock-stops"
	RootfsLost           Name = "rootfs-lost"
	RootfsLostForgotten  Name = "rootfs-lost-unless-open"
	DeletedFileReturns   Name = "deleted-file-returns"
	EmptyDirLost         Name = "emptydir-lost"
	ArchiveTruncated     Name = "archive-truncated"
	ReadyBeforeStored    Name = "ready-before-stored"
	SourceFrozen         Name = "source-frozen"
	SourceKilled         Name = "source-killed"
	SourceFrozenLong     Name = "source-frozen-long"
	SourceStopped        Name = "source-stopped-by-restore"
	NameIgnored          Name = "checkpoint-name-ignored"
	AnyRuncRoot          Name = "any-runc-root"
	FrozenApart          Name = "containers-frozen-apart"
	EmptyDirShared       Name = "emptydir-shared"
	RestoresOneProcess   Name = "restores-one-process"
	NodeCgroups          Name = "cgroups-of-node"
	WrongNode            Name = "wrong-node"
	NodeMisreported      Name = "node-misreported"
	TwoPods              Name = "two-pods"
	NameUnrelated        Name = "name-unrelated"
	NoPod                Name = "no-pod"
	ReadyTooEarly        Name = "restore-ready-too-early"
	ReadinessFlaps       Name = "readiness-flaps"
	LabelsLost           Name = "labels-lost"
	AnnotationsLost      Name = "annotations-lost"
	EnvironmentLost      Name = "environment-lost"
	LimitsLost           Name = "limits-lost"
	ServiceAccountLost   Name = "service-account-lost"
	TolerationsLost      Name = "tolerations-lost"
	PriorityLost         Name = "priority-lost"
	HostAliasesLost      Name = "host-aliases-lost"
	PullSecretsLost      Name = "pull-secrets-lost"
	GracePeriodLost      Name = "grace-period-lost"
	VolumesLost          Name = "volumes-lost"
	ImageDiffers         Name = "image-differs"
	HostNameWrong        Name = "host-name-wrong"
	NeverFinishes        Name = "never-finishes"
	ErrorWithoutDetails  Name = "error-without-details"
	StatusWordWrong      Name = "status-word-wrong"
	StatusGoesBack       Name = "status-goes-back"
	ActionNotListed      Name = "action-not-listed"
	ActionListedTwice    Name = "action-listed-twice"
	RestoreMisnamed      Name = "restore-of-another-checkpoint"
	DurationUnit         Name = "duration-in-other-unit"
	IONotCounted         Name = "io-not-counted"
	CheckpointNotListed  Name = "checkpoint-not-listed"
	DeprecateIgnored     Name = "deprecate-ignored"
	DeprecatedRestorable Name = "deprecated-restorable"
	ClusterFilterIgnored Name = "cluster-filter-ignored"
	WrongTokenAccepted   Name = "wrong-token-accepted"
	UnknownPodAccepted   Name = "unknown-pod-accepted"
	InfoOfAnotherPod     Name = "info-of-another-pod"
	ClusterTwice         Name = "cluster-registered-twice"
	ClusterStays         Name = "cluster-removal-ignored"
	ActionsStay          Name = "actions-outlive-cluster"
	RestartForgets       Name = "restart-forgets"
	DamageAccepted       Name = "damage-accepted"
	ChecksSkipped        Name = "checks-skipped"
	RefusedPodStays      Name = "refused-pod-stays"
)

var all = []Fault{
	{ColdStart, Runtime, "a restored pod is a fresh start of its image"},
	{OlderCheckpoint, Propagator, "an older checkpoint of the same pod is restored than the one asked for"},
	{OtherPod, Propagator, "another pod's checkpoint is restored"},
	{FirstGeneration, Propagator, "a restored pod's own checkpoint is answered with the one that it was restored from"},
	{OneContainerCold, Runtime, "only the first container of a pod is restored, the others are started afresh"},
	{MemoryFlipped, Helper, "a page of memory in the checkpoint has its bits flipped"},
	{FileOffsetReset, Runtime, "open files are restored at offset 0"},
	{RestoredCrashes, Runtime, "a restored process is killed 8 s after its restore"},
	{NotListening, Runtime, "a restored process runs on and is Ready, and no connection reaches its sockets"},
	{StdoutLost, Runtime, "what a restored process writes to its standard output goes nowhere"},
	{TimerStops, Runtime, "timers that a restored process holds as descriptors are disarmed"},
	{ClockStops, Runtime, "a restored process is Ready and stands still"},
	{RootfsLost, Helper, "the changes to the root file system are not in the checkpoint"},
	{RootfsLostForgotten, Helper, "of the changes to the root file system only files that a process holds open are in the checkpoint"},
	{DeletedFileReturns, Helper, "what was deleted from the root file system is there again after a restore"},
	{EmptyDirLost, Helper, "emptyDir volumes are not in the checkpoint"},
	{ArchiveTruncated, Propagator, "only the first half of an archive comes back from the store"},
	{ReadyBeforeStored, Propagator, "a checkpoint is ready 10 s before its archives are stored"},
	{SourceFrozen, Helper, "the source pod stays frozen after its checkpoint"},
	{SourceKilled, Helper, "the source pod's processes are killed after their checkpoint"},
	{SourceFrozenLong, Helper, "the source pod stays frozen for 12 s after its checkpoint"},
	{SourceStopped, Runtime, "a restore by a declared name stops the other containers of that name on its node for 12 s"},
	{NameIgnored, Propagator, "a restore by a declared name takes the newest checkpoint, whatever its name"},
	{AnyRuncRoot, Helper, "a checkpoint with a runc root that is not containerd's is taken all the same"},
	{FrozenApart, Helper, "the first container of a pod is frozen a second before the others"},
	{EmptyDirShared, Runtime, "a restored pod shares its emptyDir volumes with its living source, or with another restore"},
	{RestoresOneProcess, Runtime, "two restores of one checkpoint do not diverge: the first's process answers for both pods"},
	{NodeCgroups, Runtime, "a restored process sees the cgroups of its node in place of its own"},
	{WrongNode, Manager, "a restored pod ignores its node selector and goes to another node"},
	{NodeMisreported, Propagator, "a restore action names a node that its pod is not on"},
	{TwoPods, Manager, "a restore makes two pods"},
	{NameUnrelated, Manager, "a restored pod has a name from which nobody can tell what it was restored from"},
	{NoPod, Manager, "a restore says that it is ready and makes no pod"},
	{ReadyTooEarly, Manager, "a restore is ready as soon as its pod is created"},
	{ReadinessFlaps, Runtime, "a restored pod is not Ready for a moment, again and again"},
	{LabelsLost, Manager, "a restored pod has none of its labels"},
	{AnnotationsLost, Manager, "a restored pod has none of its annotations"},
	{EnvironmentLost, Manager, "the containers of a restored pod have no environment in their specification"},
	{LimitsLost, Manager, "the containers of a restored pod have no resource limits"},
	{ServiceAccountLost, Manager, "a restored pod has the namespace's default service account"},
	{TolerationsLost, Manager, "a restored pod has none of its tolerations"},
	{PriorityLost, Manager, "a restored pod has no priority"},
	{HostAliasesLost, Manager, "a restored pod has no host aliases"},
	{PullSecretsLost, Manager, "a restored pod has no pull secrets"},
	{GracePeriodLost, Manager, "a restored pod has the default grace period"},
	{VolumesLost, Manager, "a restored pod has empty directories in place of its config maps"},
	{ImageDiffers, Manager, "the containers of a restored pod run another image"},
	{HostNameWrong, Runtime, "a restored process has another host name than its pod"},
	{NeverFinishes, Propagator, "a checkpoint is taken and its action stays at processing"},
	{ErrorWithoutDetails, Propagator, "a failed action says error and not why"},
	{StatusWordWrong, Propagator, "the status of a finished action is done in place of ready"},
	{StatusGoesBack, Propagator, "the status of an action is ready, then processing, then ready again"},
	{ActionNotListed, Propagator, "the newest action is not in the list of actions"},
	{ActionListedTwice, Propagator, "the newest action is in the list of actions twice"},
	{RestoreMisnamed, Propagator, "a restore action names another checkpoint than the one that was restored"},
	{DurationUnit, Propagator, "the total duration of a checkpoint action is in milliseconds in place of nanoseconds"},
	{IONotCounted, Propagator, "the total I/O of a checkpoint action is 0"},
	{CheckpointNotListed, Propagator, "the newest checkpoint is not in the list of checkpoints"},
	{DeprecateIgnored, Propagator, "deprecating a checkpoint is answered well and does nothing"},
	{DeprecatedRestorable, Propagator, "a deprecated checkpoint can be restored from"},
	{ClusterFilterIgnored, Propagator, "lists filtered by cluster have those of all clusters"},
	{WrongTokenAccepted, Propagator, "any token is accepted"},
	{UnknownPodAccepted, Propagator, "a checkpoint of a pod that nobody knows is answered with an action id"},
	{InfoOfAnotherPod, Propagator, "a checkpoint's info names another pod"},
	{ClusterTwice, Propagator, "a cluster that is registered again gets another id"},
	{ClusterStays, Propagator, "removing a cluster is answered well and does nothing"},
	{ActionsStay, Propagator, "the actions of a removed cluster stay"},
	{RestartForgets, Propagator, "a restarted propagator has forgotten every action"},
	{DamageAccepted, Propagator, "a checkpoint whose archive was damaged is taken for whole"},
	{ChecksSkipped, Manager, "a restore is tried that the cluster has no place for"},
	{RefusedPodStays, Manager, "the pod of a restore that was refused stays"},
}

// All lists every fault.
func All() []Fault { return append([]Fault(nil), all...) }

// Parse accepts the name of a fault, and nothing for none. Its error lists the names.
func Parse(text string) (Name, error) {
	if text == "" {
		return "", nil
	}
	var names []string
	for _, r := range all {
		if string(r.Name) == text {
			return r.Name, nil
		}
		names = append(names, string(r.Name))
	}
	return "", fmt.Errorf("%q is not one of %s", text, strings.Join(names, ", "))
}

// Describe is what is broken, in words.
func (n Name) Describe() string {
	for _, r := range all {
		if r.Name == n {
			return fmt.Sprintf("%s (%s: %s)", r.Name, r.By, r.Broken)
		}
	}
	return string(n)
}

// Warn says in the log that what happens here is wrong on purpose.
func (n Name) Warn(log *slog.Logger) { log.Warn("FAULT INJECTED", "fault", n.Describe()) }
