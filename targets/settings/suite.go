package settings

import (
	"strings"
	"time"
)

// Suite is how the tests are run.
type Suite struct {
	Run
	Propagator
	ClusterID string
	// Pattern is a `go test -run` pattern; Parallel is how many tests run side by side.
	Pattern  string
	Parallel int
	// Bench is the one series of `mage bench` to take, empty for all.
	Bench string
	// Reruns is how often the red tests are run again. They stay red.
	Reruns int
	// OpenAPIStrict makes drift from the OpenAPI document a failure on the live backend too.
	OpenAPIStrict bool
	// Timeout bounds the tests, without their compilation.
	Timeout time.Duration
	// Tests are handed to the tests as they are.
	Tests Tests
}

// Sensitivity is how `mage sensitivity` runs.
type Sensitivity struct {
	Run
	// Pattern chooses the faults to try, empty for all.
	Pattern string
	// Group is whose tests are tried, where it has faults of its own.
	Group Group
}

// BenchSeries are the series of `mage bench`: a test TestBench each, with the name in it.
var BenchSeries = []string{"memory", "containers", "pods", "compression"}

func readSuite(v *Variables) (Suite, Sensitivity) {
	v.Group("Tests")
	s := Suite{Tests: readTests(v)}
	s.Pattern = v.Pattern(Variable{Name: "E2E_RUN", DefaultText: "all of the group", Example: "TestRestore", Doc: "`go test -run` pattern; picks tests whatever their group"})
	s.Bench = v.OneOf(Variable{Name: "BENCH", DefaultText: "all of them", Example: BenchSeries[0], For: "`bench`", Doc: "one series: `" + strings.Join(BenchSeries, "`, `") + "`, see [bench.md](bench.md)"}, append([]string{""}, BenchSeries...)...)
	s.Parallel = v.Number(Variable{Name: "E2E_PARALLEL", Default: "8", Doc: "tests side by side"}, 1, 64)
	s.Reruns = v.Number(Variable{Name: "E2E_RERUN", Default: "0", Doc: "how often red tests are run again, to see whether they are red every time; they stay red"}, 0, 100)
	s.OpenAPIStrict = v.Bool(Variable{Name: "E2E_OPENAPI_STRICT", Doc: "`1`: drift that is not explained there fails on the live backend too"})
	v.Renamed("E2E_REGRESSIONS", "E2E_FAULTS")
	return s, Sensitivity{Group: s.Tests.Suite, Pattern: v.Pattern(Variable{
		Name: "E2E_FAULTS", DefaultText: "all", Example: "restored|lost", For: "`sensitivity`", Doc: "pattern of the faults to try",
	})}
}
