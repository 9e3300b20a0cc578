package e2e

import (
	"fmt"
	"strings"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// groups has every test once, in the group that SUITE has to name for it. A test that is not here fails the unit tests of
// this package.
var groups = []struct {
	name  settings.Group
	tests []string
}{
	{settings.Smoke, []string{
		"TestToken", "TestUnknownIDs", "TestLists", "TestClusterRegistration",
		"TestDeploy", "TestCheckpoint", "TestRestoreNginx", "TestRestoreCounter", "TestRestoreTwiceInARow", "TestRestoreTwoContainers", "TestRestoreEmptyDir",
	}},
	{settings.Full, []string{
		"TestAPIAuthentication", "TestAPIErrors", "TestAPIAnswers", "TestAPIFilters", "TestAPIRestoreNeedsACheckpoint",
		"TestActionFilters", "TestDeprecate",
		"TestRestoreThreeGenerations", "TestRestoreOlderCheckpoint", "TestRestoreOneCheckpointTwice", "TestCheckpointUnderLoad", "TestCheckpointAgainAndAgain",
		"TestDeclarativeSameName", "TestDeclarativeByName", "TestDeclarativeScaleUp", "TestDeclarativeColdStart",
		"TestNodes",
		"TestPodInitContainer", "TestPodSidecar", "TestPodProbes", "TestPodOfADeployment", "TestPodOfAJob", "TestPodLongNames", "TestPodNamePrefixes",
		"TestCheckpointOfAnotherRuncRoot",
		"TestRestoreSpecification", "TestRestoredPodLivesOn", "TestRestartKeepsActions",
		"TestRestoreState", "TestRestoreLimits", "TestRestoreSeccomp", "TestRestoreAppArmor",
		"TestRestoreKernelObjects",
		"TestRestoreRefused", "TestRestoreRefusedWithoutRuntimeClass",
		"TestRestoreUser", "TestRestoreStoppedProcess",
	}},
	{settings.Chaos, []string{
		"TestChaos",
	}},
	{settings.Measure, []string{
		"TestCycles", "TestBudget",
	}},
	{settings.Workloads, []string{
		"TestWorkloads",
	}},
	{settings.Bench, []string{
		"TestBenchMemory", "TestBenchContainers", "TestBenchPods", "TestBenchCompression",
	}},
	{settings.TryPods, []string{
		"TestTry",
	}},
}

// selection is the -run pattern of the tests that a group has.
func selection(suite settings.Group) string {
	var names []string
	for _, g := range groups {
		if suite.Has(g.name) {
			names = append(names, g.tests...)
		}
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// others says in one line how many tests the groups have that are not run. `mage try` and `mage bench`
// are other targets.
func others(suite settings.Group) string {
	var list []string
	for _, g := range groups {
		if !suite.Has(g.name) && g.name != settings.TryPods && g.name != settings.Bench {
			list = append(list, fmt.Sprintf("%d in SUITE=%s", len(g.tests), g.name))
		}
	}
	return "not asked for: " + strings.Join(list, ", ")
}
