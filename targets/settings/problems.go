package settings

import (
	"fmt"
	"strings"
)

// Problem is one bad variable.
type Problem struct {
	// Name of the environment variable.
	Name string
	// Reason says what is wrong with its value; never the value of a secret.
	Reason string
	// Example is a valid value; empty where none is.
	Example string
}

// Problems is everything wrong with the environment, in one error. Its exit status is 2, as for wrong usage.
type Problems []Problem

func (p Problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d problem(s) in the environment, nothing was created:", len(p))
	for _, one := range p {
		fmt.Fprintf(&b, "\n  %s: %s", one.Name, one.Reason)
		if one.Example != "" {
			fmt.Fprintf(&b, " (for example %s=%s)", one.Name, one.Example)
		}
	}
	return b.String()
}

// ExitStatus is what mage exits with.
func (p Problems) ExitStatus() int { return 2 }
