package sensitivity

import (
	"regexp"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Row says who has to notice a fault, and what has to be said then.
type Row struct {
	Fault fault.Name
	// Tests are the smallest part of the suite that should notice: each of them has to, or each of their subtests in Each.
	Tests []string
	// Names is what the failing test's output has to match, or nobody could tell from it what is wrong.
	Names *regexp.Regexp
	// Change is of what the tests are given: shorter waits for what never comes.
	Change func(*settings.TestFile)
	// Each are the full names of the subtests that have to notice, where that is not said by Tests alone.
	Each []string
	// Limit bounds the tests of the row, pickLimit where it is 0.
	Limit time.Duration
}

// noticing are the tests and subtests of the row that have to notice.
func (r Row) noticing() []string {
	if len(r.Each) > 0 {
		return r.Each
	}
	return r.Tests
}

// tests are names of top-level tests.
func tests(names ...string) []string { return names }

// declarative are the tests of declarative restore, each of which has to notice what is wrong with any restore or source.
var declarative = tests("TestDeclarativeSameName", "TestDeclarativeByName", "TestDeclarativeScaleUp")

func says(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

// Shorter waits, for what does not come at all.
var (
	shortCheckpoint = func(f *settings.TestFile) { f.CheckpointTimeout.Duration = stretch.Limit(5 * time.Second) }
	shortRestore    = func(f *settings.TestFile) { f.RestoreTimeout.Duration = stretch.Limit(6 * time.Second) }
)

// Catalogue has a row for each fault of package fault, in its order.
var Catalogue = []Row{
	{fault.ColdStart, append(tests("TestRestoreCounter"), declarative...), says(`expected: the nonce in memory \(another one is another process, started anew\)`), nil, nil, 0},
	{fault.OlderCheckpoint, append(tests("TestRestoreOlderCheckpoint"), declarative...), says(`expected: the count is at least \d+|the pod goes on from the moment of its checkpoint`), nil, nil, 0},
	{fault.OtherPod, tests("TestPodNamePrefixes"), says(`expected: the nonce in memory is that of twin, port \d+\s+seen: +that of twin-`), nil, nil, 0},
	{fault.FirstGeneration, tests("TestRestoreThreeGenerations"), says(`expected: the count is at least \d+|the pod goes on from the moment of its checkpoint`), nil, nil, 0},
	{fault.OneContainerCold, tests("TestRestoreTwoContainers"), says(`(?s)expected: the nonce in memory .*seen of the restored pod, port 8081`), nil, nil, 0},
	{fault.MemoryFlipped, tests("TestRestoreCounter"), says(`expected: the checksum of memory`), nil, nil, 0},
	{fault.FileOffsetReset, tests("TestRestoreEmptyDir"), says(`expected: .*log has a line for each count .* through the descriptor held since the start`), nil, nil, 0},
	{fault.RestoredCrashes, tests("TestRestoredPodLivesOn"), says(`(?s)expected: pod \S+ stays Ready with 0 restarts.*(137|not Ready)`), nil, nil, 0},
	{fault.NotListening, tests("TestRestoreEmptyDir"), says(`(?s)expected: pod counter-restored answers on port 8080: GET /state.*the pod is Running, Ready`), nil, nil, 0},
	{fault.StdoutLost, tests("TestRestoreCounter"), says(`wait for the log of pod \S+-restored, container counter, to go on`), nil, nil, 0},
	{fault.TimerStops, tests("TestRestoreState"), says(`expected: the timerfd, set for \S+ before the checkpoint, fires in the restored process`), nil, nil, 0},
	{fault.ClockStops, tests("TestRestoreEmptyDir"), says(`(?s)expected: pod counter-restored answers on port 8080: GET /state.*the pod is Running, Ready`), nil, nil, 0},
	{fault.RootfsLost, tests("TestRestoreNginx"), says(`restore pod nginx: .*No such file or directory`), nil, nil, 0},
	{fault.RootfsLostForgotten, tests("TestRestoreCounter"), says(`(?s)expected: pod \S+-restored answers on port 8080: GET /read\?path=%2Fetc%2Fe2e%2Fnew%2Ffile.*no such file`), nil, nil, 0},
	{fault.DeletedFileReturns, tests("TestRestoreState"), says(`"fixtures/deleted" is there, and was not`), nil, nil, 0},
	{fault.EmptyDirLost, tests("TestRestoreEmptyDir"), says(`(?s)expected: pod \S+-restored answers on port 8080: GET /read\?path=%2Fdata%2Fsome%2Ffile.*no such file`), nil, nil, 0},
	{fault.ArchiveTruncated, tests("TestRestoreEmptyDir"), says(`restore pod counter: .*(unexpected EOF|is damaged)`), nil, nil, 0},
	{fault.ReadyBeforeStored, tests("TestRestoreEmptyDir"), says(`restore pod counter: .*fetch checkpoint.*(no such file|not found)`), nil, nil, 0},
	{fault.SourceFrozen, tests("TestCheckpoint"), says(`(?s)expected: pod counter answers on port 8080: GET /state.*seen of the original after its checkpoint`), nil, nil, 0},
	{fault.SourceKilled, append(tests("TestCheckpoint"), declarative...), says(`(?s)expected: (pod counter\S* answers on port 8080: GET /state|the nonce in memory).*seen of the original after its checkpoint`), nil, nil, 0},
	{fault.SourceFrozenLong, append(tests("TestCheckpoint"), declarative...), says(`expected: the source of a checkpoint stands still for less than 10s`), nil, nil, 0},
	{fault.SourceStopped, tests("TestDeclarativeScaleUp"), says(`expected: (the source of a checkpoint stands still for less than 10s|pod \S+ stays Ready with 0 restarts)|(?s)expected: pod \S+ answers on port 8080: GET /state.*seen of the original after its checkpoint`), nil, nil, 0},
	{fault.NameIgnored, tests("TestDeclarativeByName"), says(`expected: the nonce in memory is that of counter, port 8080\s+seen: +that of other, port 8080`), nil, nil, 0},
	{fault.AnyRuncRoot, tests("TestCheckpointOfAnotherRuncRoot"), says(`expected: a checkpoint of pod nginx with runc root /run/no-runc-root ends in error`), nil, nil, 0},
	{fault.FrozenApart, tests("TestPodSidecar"), says(`expected: all containers were frozen at one moment: port \d+ had counted as far as port \d+ had heard, \d+`), nil, nil, 0},
	{fault.EmptyDirShared, tests("TestRestoreOneCheckpointTwice", "TestDeclarativeScaleUp"), says(`expected: /scratch/\S+, which pod \S+ wrote, in pod \S+ is not there`), nil, nil, 0},
	{fault.RestoresOneProcess, tests("TestRestoreOneCheckpointTwice"), says(`expected: pod \S+ goes on from its checkpoint at a time of its own\s+seen: +\S+, as pod counter-restored`), nil, nil, 0},
	{fault.NodeCgroups, tests("TestRestoreState"), says(`expected: the limit in the restored container's /sys/fs/cgroup/\S+ is`), nil, nil, 0},
	{fault.WrongNode, tests("TestRestoreSpecification"), says(`lost: .*node selector`), nil, nil, 0},
	{fault.NodeMisreported, tests("TestRestoreEmptyDir"), says(`expected: the node of restore action`), nil, nil, 0},
	{fault.TwoPods, tests("TestRestoreEmptyDir"), says(`want one new pod, restored from counter; there are 2`), nil, nil, 0},
	{fault.NameUnrelated, tests("TestRestoreEmptyDir"), says(`want a new pod with "counter" and "restored" in its name; there is pod-`), nil, nil, 0},
	{fault.NoPod, tests("TestRestoreEmptyDir"), says(`wait for a pod restored from counter to be Ready: .*no pod; restore action ready`), shortRestore, nil, 0},
	{fault.ReadyTooEarly, tests("TestRestoreEmptyDir"), says(`the restore action is ready before its pod is`), nil, nil, 0},
	{fault.ReadinessFlaps, tests("TestRestoreEmptyDir"), says(`(?s)expected: pod \S+ stays Ready.*not Ready`), nil, nil, 0},
	{fault.LabelsLost, tests("TestRestoreSpecification"), says(`lost: .*label `), nil, nil, 0},
	{fault.AnnotationsLost, tests("TestRestoreSpecification"), says(`lost: .*annotation `), nil, nil, 0},
	{fault.EnvironmentLost, tests("TestRestoreSpecification"), says(`lost: .*env E2E_GIVEN`), nil, nil, 0},
	{fault.LimitsLost, tests("TestRestoreSpecification"), says(`lost: .*limit of memory`), nil, nil, 0},
	{fault.ServiceAccountLost, tests("TestRestoreSpecification"), says(`lost: .*service account "worker" \(seen "default"\)`), nil, nil, 0},
	{fault.TolerationsLost, tests("TestRestoreSpecification"), says(`lost: .*toleration \{.*e2e.cedana.ai/kept`), nil, nil, 0},
	{fault.PriorityLost, tests("TestRestoreSpecification"), says(`lost: .*priority 7 \(seen 0\)`), nil, nil, 0},
	{fault.HostAliasesLost, tests("TestRestoreSpecification"), says(`lost: .*host alias \{.*kept.example`), nil, nil, 0},
	{fault.PullSecretsLost, tests("TestRestoreSpecification"), says(`lost: .*pull secret \{"name":"settings"\}`), nil, nil, 0},
	{fault.GracePeriodLost, tests("TestRestoreSpecification"), says(`lost: .*grace period 7 \(seen 30\)`), nil, nil, 0},
	{fault.VolumesLost, tests("TestRestoreSpecification"), says(`lost: .*volume \{"configMap":.*"name":"settings"`), nil, nil, 0},
	{fault.ImageDiffers, tests("TestRestoreEmptyDir"), says(`expected: the digest of the image of container counter is \S+\s+seen: +\S+`), nil, nil, 0},
	{fault.HostNameWrong, tests("TestRestoreEmptyDir"), says(`expected: the host name in the restored pod is counter-restored, as in its /etc/hosts\s+seen: +of-no-pod`), nil, nil, 0},
	{fault.NeverFinishes, tests("TestCheckpoint"), says(`checkpoint pod counter: wait for action .* last state processing`), shortCheckpoint, nil, 0},
	{fault.ErrorWithoutDetails, tests("TestCheckpointOfAnotherRuncRoot"), says(`expected: the error of the action says why`), nil, nil, 0},
	{fault.StatusWordWrong, tests("TestCheckpoint"), says(`checkpoint pod counter: wait for action .* last state done`), shortCheckpoint, nil, 0},
	{fault.StatusGoesBack, tests("TestCheckpoint"), says(`expected: the status of action \S+ stays what it was when the action had ended\s+seen: +processing`), nil, nil, 0},
	{fault.ActionNotListed, tests("TestCheckpoint"), says(`wait for action \S+ to be successful in the list of actions: .*not among its`), nil, nil, 0},
	{fault.ActionListedTwice, tests("TestCheckpoint"), says(`action \S+ is 2 times in the list of actions`), nil, nil, 0},
	{fault.RestoreMisnamed, tests("TestRestoreEmptyDir"), says(`expected: the checkpoint of restore action \S+ is one of \S+`), nil, nil, 0},
	{fault.DurationUnit, tests("TestCheckpoint"), says(`expected: the total duration of action \S+, in nanoseconds, is from`), nil, nil, 0},
	{fault.IONotCounted, tests("TestCheckpoint"), says(`expected: the total I/O of action \S+ is at least \d+ bytes`), nil, nil, 0},
	{fault.CheckpointNotListed, tests("TestCheckpoint"), says(`list the checkpoints of action .*(has 0 checkpoints|named by it but not there)`), nil, nil, 0},
	{fault.DeprecateIgnored, tests("TestDeprecate"), says(`expected: the status of checkpoint \S+ is deprecated`), nil, nil, 0},
	{fault.DeprecatedRestorable, tests("TestAPIRestoreNeedsACheckpoint"), says(`expected: a restore from a checkpoint that was given up is refused`), nil, nil, 0},
	{fault.ClusterFilterIgnored, tests("TestAPIFilters", "TestLists", "TestActionFilters"), says(`expected: (GET /(actions|checkpoints)\?cluster_id=\S+ does not list|the number of rows of GET \S+ of an unknown cluster is 0|each row of GET \S+ has the cluster_id)`), nil, nil, 0},
	{fault.WrongTokenAccepted, tests("TestToken"), says(`expected: GET /user with .* is refused`), nil, nil, 0},
	{fault.UnknownPodAccepted, tests("TestUnknownIDs"), says(`expected: a checkpoint of an unknown pod is refused`), nil, nil, 0},
	{fault.InfoOfAnotherPod, tests("TestCheckpoint"), says(`expected: the pod's name in the checkpoint's info is counter\s+seen: +another-counter`), nil, nil, 0},
	{fault.ClusterTwice, tests("TestClusterRegistration"), says(`expected: the id of cluster \S+ the second time is`), nil, nil, 0},
	{fault.ClusterStays, tests("TestClusterRegistration"), says(`expected: the number of clusters of id \S+ after its removal is 0`), nil, nil, 0},
	{fault.ActionsStay, tests("TestClusterRegistration"), says(`expected: the number of actions \S+ after the removal of their cluster is 0`), nil, nil, 0},
	{fault.RestartForgets, tests("TestRestartKeepsActions"), says(`wait for action \S+ to be successful in the list of actions: .*not among its`), nil, nil, 0},
	{fault.DamageAccepted, tests("TestRestoreRefused"), says(`expected: a restore from an archive that is damaged in \S+ (ends in error within|is refused with the code ArchiveDamaged)`), nil, nil, 0},
	{fault.ChecksSkipped, tests("TestRestoreRefused"), says(`expected: a restore without one of the pod's volumes ends in error within`), nil, nil, 0},
	{fault.RefusedPodStays, tests("TestRestoreRefused"), says(`wait for the pod of a refused restore to be gone: .*counter-restored is`), nil, nil, 0},
}
