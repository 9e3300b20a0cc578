package runtimefault

import (
	"errors"
	"os"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
)

// stopSources has the first processes of the other containers in a runc root that declare the same checkpoint stand still
// for 12 s.
func stopSources(runcRoot string, t runtime.Target) error {
	containers, err := os.ReadDir(runcRoot)
	for _, c := range containers {
		if pid := declaring(runcRoot, c.Name(), t); pid != 0 {
			err = errors.Join(err, signalLater(pid, "0s", "STOP", "12s", "CONT"))
		}
	}
	return err
}

// declaring is the first process of a container in a runc root, if it declares the target's checkpoint and is not the
// target; 0 if not, or if it has gone.
func declaring(runcRoot, id string, t runtime.Target) int {
	state, err := bundle.ReadState(runcRoot, id)
	if err != nil || state.Dir() == t.Bundle {
		return 0
	}
	spec, err := bundle.Read(state.Dir())
	if err != nil || bundle.CheckpointName(spec) != t.Name {
		return 0
	}
	return state.Pid
}
