package runtimefault

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/standin/declared"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
)

// stopSources has the first processes of the other containers in a runc root that declare the same checkpoint stand still
// for 12 s.
func stopSources(runcRoot string, t runtime.Target) error {
	states, err := filepath.Glob(filepath.Join(runcRoot, "*", "state.json"))
	for _, path := range states {
		if pid := declaring(path, t); pid != 0 {
			err = errors.Join(err, signalLater(pid, "0s", "STOP", "12s", "CONT"))
		}
	}
	return err
}

// declaring is the first process of the container with that state, if it declares the target's checkpoint and is not the
// target; 0 if not, or if it has gone.
func declaring(path string, t runtime.Target) int {
	var state struct {
		Pid    int `json:"init_process_pid"`
		Config struct {
			Labels []string `json:"labels"`
		} `json:"config"`
	}
	if !readJSON(path, &state) {
		return 0
	}
	for _, label := range state.Config.Labels {
		bundle, ok := strings.CutPrefix(label, "bundle=")
		if !ok || bundle == t.Bundle {
			continue
		}
		var config struct {
			Process struct {
				Env []string `json:"env"`
			} `json:"process"`
		}
		if readJSON(filepath.Join(bundle, "config.json"), &config) && declared.Name(config.Process.Env) == t.Name {
			return state.Pid
		}
	}
	return 0
}

func readJSON(path string, v any) bool {
	data, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(data, v) == nil
}
