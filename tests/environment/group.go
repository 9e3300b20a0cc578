package environment

// Group is a set of tests that are run together; SUITE names one.
type Group string

const (
	// Smoke is what every run has: each main path once.
	Smoke Group = "smoke"
	// Full is the whole catalogue; as SUITE it has Smoke in it.
	Full Group = "full"
	// Chaos breaks nodes and helpers under running pods.
	Chaos Group = "chaos"
	// Measure has the tests that take times, and so have the machine to themselves.
	Measure Group = "measure"
)

func groupNames() []string {
	return []string{string(Smoke), string(Full), string(Chaos), string(Measure)}
}

// Has reports whether a run of this group runs the tests of another.
func (g Group) Has(other Group) bool { return g == other || g == Full && other == Smoke }
