package platform

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/labsettings"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// effect is where it is seen what a variable does, beyond its reaching the settings.
type effect struct {
	// file is below the repository's top. Its function is a test of the variable's effect or, where only a run against a
	// cluster shows that, what obeys the variable.
	file, function string
	// by is what the function's text has of the variable.
	by string
}

const (
	deployValues = "targets/deploy/values_test.go"
	runsTests    = "targets/suite/suite_test.go"
	listings     = "targets/listing/listing_test.go"
	cleaning     = "targets/cleanup/cleanup_test.go"
	lifecycle    = "tests/e2e/lifecycle_test.go"
	measures     = "tests/e2e/measure_test.go"
)

// chartValue is for a variable that sets one of the chart's values: what that does is the chart's.
var chartValue = effect{deployValues, "TestEveryVariableOfTheChartIsTheValueThatItsDocumentNames", "Declared"}

var effects = map[string]effect{
	"CEDANA_AUTH_TOKEN": {deployValues, "TestLiveRunTakesUrlAndTokenFromTheUsersVariables", "CEDANA_AUTH_TOKEN"},
	"CEDANA_URL":        {deployValues, "TestLiveRunTakesUrlAndTokenFromTheUsersVariables", "CEDANA_URL"},
	"E2E_BACKEND":       {"targets/settings/settings_test.go", "TestAnExistingClusterHasToBeNamedAndIsLive", "E2E_BACKEND"},

	"CLUSTER_NAME":      {cleaning, "TestAChosenClusterIsRemovedAlone", "ClusterChosen"},
	"E2E_CLUSTER":       {"targets/platform/platform_test.go", "TestEachOfTheThreeIsChosenApart", "E2E_CLUSTER"},
	"KUBECONFIG":        {"targets/platform/existing.go", "cluster", "Kubeconfig"},
	"KUBECONTEXT":       {"targets/platform/existing.go", "cluster", "Context"},
	"E2E_IMAGE_NGINX":   {runsTests, "TestTheTestsAreGivenEverythingInOneFile", "ImageNginx"},
	"E2E_IMAGE_COUNTER": {runsTests, "TestTheTestsAreGivenEverythingInOneFile", "ImageCounter"},
	"RUNC_ROOT":         {"targets/cluster/runcroot_test.go", "TestTheRuncRootIsGivenToBothRuntimesOfANode", "uncRoot"},
	"E2E_AGENTS":        {"targets/cluster/existing_test.go", "TestMoreAgentsThanTheTestsWantAreNoReasonToMakeTheClusterAnew", "Agents"},

	"CEDANA_NAMESPACE":       {"targets/deploy/release_test.go", "TestAFailedInstallNamesChartReleaseAndNamespace", "cedana-system"},
	"CLUSTER_ID":             {"targets/deploy/register_test.go", "TestAGivenClusterIDIsUsedAndNeverOurs", "ClusterID"},
	"HELM_CHART":             {"targets/deploy/chart_test.go", "TestHelmChartIsAPathAVersionOrAnAddress", "HELM_CHART"},
	"HELM_VALUES":            {deployValues, "TestLaterLayersWinAndSayWhereTheyCameFrom", "HelmValues"},
	"SKIP_HELM":              {"targets/platform/platform_test.go", "TestEachOfTheThreeIsChosenApart", "SKIP_HELM"},
	"HELM_REGISTRY_USERNAME": {"targets/deploy/chart_test.go", "TestAPrivateRegistryNeedsItsPassword", "RegistryUser"},
	"HELM_REGISTRY_PASSWORD": {"targets/deploy/chart_test.go", "TestAPrivateRegistryNeedsItsPassword", "RegistryPassword"},
	"HELM_REGISTRY_CONFIG":   {"targets/deploy/chart_test.go", "TestARegistrysLoginIsReadFromAFile", "RegistryConfig"},
	"CI":                     {deployValues, "TestLaterLayersWinAndSayWhereTheyCameFrom", "s.CI"},

	"SUITE":                  {"tests/e2e/groups_test.go", "TestAGroupSelectsItsOwnTestsAndFullThoseOfSmokeToo", "settings."},
	"NAMESPACE":              {"tests/environment/environment_test.go", "TestANamespaceNamesPrefixTestAndRun", "Namespace"},
	"E2E_POD_TIMEOUT":        {"tests/checks/counter.go", "Progresses", "PodTimeout"},
	"E2E_CHECKPOINT_TIMEOUT": {"targets/local/standin/helper/dump_test.go", "TestADumpIsGivenTheTimeThatTheHelperIsConfiguredWith", "E2E_CHECKPOINT_TIMEOUT"},
	"E2E_RESTORE_TIMEOUT":    {"targets/local/standin/runtime/runtime_test.go", "TestARestoreIsGivenTheTimeThatTheNodeIsConfiguredWith", "E2E_RESTORE_TIMEOUT"},
	"SEED":                   {"tests/chaos/plan_test.go", "TestASeedIsAlwaysTheSamePlanAndAnotherIsAnother", "rounds(7"},
	"E2E_CHAOS_TIME":         {"tests/e2e/chaos_test.go", "TestChaos", "ChaosTime"},
	"E2E_CYCLES":             {measures, "TestCycles", "Env.Cycles"},
	"E2E_SAMPLES":            {measures, "budget", "Env.Samples"},
	"E2E_OPENAPI":            {"targets/contract_test.go", "TestABadDocumentIsAProblemOfTheEnvironment", "E2E_OPENAPI"},
	"E2E_KEEP":               {"tests/fixture/fixture.go", "end", "Env.Keep"},
	"POD":                    {"targets/try_test.go", "TestPodsToTryAreNamedAndReadBeforeAnythingIsMade", "POD"},
	"CHECK":                  {"tests/try/try.go", "runCheck", "Check"},
	"E2E_IMAGES":             {"tests/try/deploy.go", "Deploy", "Images"},
	"E2E_RUN":                {runsTests, "TestARunThatTestsNothingIsNotGreen", "TestNoSuchThing"},
	"BENCH":                  {"targets/bench_test.go", "TestABenchTakesOneSeriesOrAll", "Bench"},
	"E2E_PARALLEL":           {"targets/suite/command.go", "gotestsum", "Parallel"},
	"E2E_OPENAPI_STRICT":     {"targets/suite/contract_test.go", "TestTheContractsOutcome", "OpenAPIStrict"},
	"E2E_FAULTS":             {"targets/local/sensitivity/sensitivity_test.go", "TestAPatternThatMatchesNothingIsRefusedWithTheNames", "everything"},

	"FORMAT":        {listings, "TestJSONIsWhatTheServerSent", "Format"},
	"TYPE":          {listings, "TestActionsAreNarrowedByTheServerAndOnceMoreHere", "Type"},
	"STATUS":        {listings, "TestCheckpointsAreNarrowedByStatus", "Status"},
	"CHECKPOINT_ID": {"targets/api.go", "Deprecate", "CheckpointIDs"},
	"DRY_RUN":       {"targets/sweep/sweep_test.go", "TestADryRunOnlySaysWhatItWouldRemove", "DryRun"},
	"ALL":           {cleaning, "TestCachesAreNamedWithTheirSizeAndRemovedOnRequest", "All"},
	"ENGINE":        {cleaning, "TestAnEngineThatDoesNotAnswer", "settings.Engine"},
	"ALL_OWNERS":    {cleaning, "TestWhatAnotherOwnerHasMadeIsNamedAndStays", "AllOwners"},
	"FORGET":        {cleaning, "TestWhatIsGoneForGoodIsForgottenByItsName", "Forget"},

	"A":             {"targets/compare.go", "Compare", "s.Compare.A"},
	"B":             {"targets/compare.go", "Compare", "s.Compare.B"},
	"VM":            {"targets/local/vm/vm_test.go", "TestEachReleaseHasASuiteOfDebians", "Releases"},
	"E2E_VM_MEMORY": {"targets/local/vm/vm_test.go", "TestTheMachineIsReachedFromThisHostAloneAndSeesTheSharesReadOnly", "Memory"},
	"E2E_VM_TARGET": {"targets/local/vm/vm_test.go", "TestTheTargetIsGivenTheVariablesAsTheyAre", "e2e"},

	"E2E_ROUNDS":    {"targets/compare/compare_test.go", "compared", "Rounds"},
	"E2E_THRESHOLD": {"targets/compare/compare_test.go", "TestAChangeHasToBeBeyondTheNoiseAndTheThreshold", "threshold"},

	"E2E_TIMEOUT_SCALE":   {"targets/stretch/stretch_test.go", "TestALimitIsTimesTheFactorOfTheProcess", "Set(2.5)"},
	"E2E_CLUSTER_TIMEOUT": {"targets/stages.go", "makeCluster", "Cluster.Timeout"},
	"E2E_DEPLOY_TIMEOUT":  {"targets/deploy/ready_test.go", "TestATimeoutTellsEachPodsStateItsLogAndTheWarnings", "E2E_DEPLOY_TIMEOUT"},
	"E2E_SUITE_TIMEOUT":   {runsTests, "TestATestThatHangsIsEndedByItsOwnDeadline", "Timeout"},
	"E2E_CLEAN_TIMEOUT":   {"targets/cleanup/cleanup.go", "Run", "s.Timeout"},

	"E2E_ARTIFACTS": {runsTests, "TestARedRunNamesTheTestsAndKeepsWhatItCan", "rtifact"},
	"E2E_HOME":      {cleaning, "TestAHomeThatHoldsSomethingElseStays", "Home"},
	"E2E_RUN_ID":    {runsTests, "TestTheTestsAreGivenEverythingInOneFile", "RunID"},
	"E2E_HISTORY":   {runsTests, "TestARunIsRemembered", "History"},
	"E2E_RERUN":     {runsTests, "TestRedTestsAreRunAgainAndStayRed", "Reruns"},
	"OPEN":          {"targets/report.go", "Report", "OpenReport"},
	"NO_COLOR":      {"targets/console/console_test.go", "TestNoColorIsWantedWhereItIsSetToAnything", "NO_COLOR"},

	"E2E_ENGINE":    {"targets/local/engine/engine_test.go", "TestBadOptionsAreRefused", "Mode"},
	"E2E_NODE":      {"targets/local/node/k3s_test.go", "TestAutoTakesK3s", "K3s"},
	"E2E_K3S_IMAGE": {"targets/local/node/k3s_test.go", "TestK3sFromTheEngine", "K3sImage"},
	"E2E_FAULT":     {"targets/local/backend/backend_test.go", "TestAPropagatorIsBrokenOnRequestAndWholeAgainAtTheSamePort", "Fault"},

	"OTEL_EXPORTER_OTLP_ENDPOINT": {"targets/tracing/tracing.go", "Start", "endpoint"},

	"DOCKER_HOST":   {"targets/preflight_test.go", "TestARunThatCannotWorkEndsBeforeAnythingIsCreated", "DOCKER_HOST"},
	"SSL_CERT_FILE": {"targets/preflight_test.go", "prepared", "SSL_CERT_FILE"},
	"HTTPS_PROXY":   {"targets/local/engine/private_linux_test.go", "TestDaemonsGetNoSecrets", "HTTPS_PROXY"},
	"NO_PROXY":      {"targets/local/engine/daemon_linux.go", "daemonEnvironment", "NO_PROXY"},
}

// A variable does what its name says, and somebody can see where: a new one has to name its test.
func TestEveryVariableNamesWhatShowsItsEffect(t *testing.T) {
	t.Parallel()
	v := settings.NewVariables(envconfig.MapLookuper(nil))
	settings.Read(v, &labsettings.Settings{})
	left := make(map[string]bool, len(effects))
	for name := range effects {
		left[name] = true
	}
	sources := map[string]map[string]string{}
	for _, d := range v.Declared() {
		delete(left, d.Name)
		at, ok := effects[d.Name]
		if !ok && d.Group == "Values of the chart" {
			at, ok = chartValue, true
		}
		require.True(t, ok, "%s names no test that shows what it does", d.Name)
		if sources[at.file] == nil {
			sources[at.file] = functions(t, at.file)
		}
		text := sources[at.file][at.function]
		if text == "" {
			t.Errorf("%s: %s has no function %s", d.Name, at.file, at.function)
		} else if !strings.Contains(text, at.by) {
			t.Errorf("%s: %s in %s says nothing of %s", d.Name, at.function, at.file, at.by)
		}
	}
	require.Empty(t, left, "variables that are not declared")
}

// functions are the texts of a file's functions and methods, by name.
func functions(t *testing.T, file string) map[string]string {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, "../../"+file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	out := map[string]string{}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			var text bytes.Buffer
			require.NoError(t, format.Node(&text, set, f))
			out[f.Name.Name] += text.String()
		}
	}
	return out
}
