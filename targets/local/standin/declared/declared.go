// Package declared reads how a container declares the checkpoint that it belongs to: a variable of its environment. Its
// checkpoints are stored under that name, and it is restored from the newest of them when its pod is created with the
// runtime class cedana.
package declared

import "strings"

// Variable names the checkpoint. The name is taken from the container's process and not from the pod's specification,
// where it may stand in a config map.
const Variable = "CEDANA_CHECKPOINT"

// Name is the checkpoint's name in the environment of a process, "KEY=value" each; empty when there is none. Of a
// variable that is set more than once the last one counts, as it does for runc.
func Name(environment []string) string {
	name := ""
	for _, entry := range environment {
		if value, ok := strings.CutPrefix(entry, Variable+"="); ok {
			name = value
		}
	}
	return name
}
