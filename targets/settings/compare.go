package settings

import "fmt"

// Compare is what `mage compare` sets against each other.
type Compare struct {
	// A and B are git revisions of this repository, or on the live backend charts, spelled as HELM_CHART is.
	A, B string
	// Rounds is how often each of the two is measured; A twice as often, to know the noise.
	Rounds int
	// Threshold is the smallest change that is told, in percent.
	Threshold int
}

// maxCompared leaves room in a cluster's name for which of the two it is of.
const maxCompared = maxClusterName - len("-a")

func readCompare(v *Variables) Compare {
	v.Group("Comparing")
	const target = "`compare`"
	return Compare{
		A:         v.Text(Variable{Name: "A", Example: "main", For: target, Doc: "git revision of this repository, on the live backend a chart as in `HELM_CHART`: what is there today"}),
		B:         v.Text(Variable{Name: "B", Example: "HEAD", For: target, Doc: "the same: what is to be told from it"}),
		Rounds:    v.Number(Variable{Name: "E2E_ROUNDS", Default: "10", For: target, Doc: "how often B is measured, and A twice"}, 4, 1000),
		Threshold: v.Number(Variable{Name: "E2E_THRESHOLD", Default: "10", For: target, Doc: "the smallest change that is red, in percent"}, 1, 1000),
	}
}

// Check says what is missing. Only `mage compare` needs it.
func (c Compare) Check(clusterName string) error {
	var problems Problems
	for _, one := range []struct{ name, value string }{{"A", c.A}, {"B", c.B}} {
		if one.value == "" {
			problems = append(problems, Problem{Name: one.name, Reason: "is not set", Example: "main"})
		}
	}
	if len(clusterName) > maxCompared {
		problems = append(problems, Problem{Name: "CLUSTER_NAME", Reason: fmt.Sprintf("%q has more than %d characters, and -a and -b are to follow", clusterName, maxCompared), Example: DefaultClusterName})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}
