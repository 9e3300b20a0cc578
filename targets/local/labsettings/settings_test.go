package labsettings

import (
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func read(env map[string]string) (*Settings, error) {
	lab := &Settings{}
	v := settings.NewVariables(envconfig.MapLookuper(env))
	settings.Read(v, lab)
	return lab, v.Err()
}

// usual is the machine where nothing is chosen.
var usual = Machine{Release: "debian-13", Memory: 8}

func TestOnlyAKnownFaultOfTheStandInCanBeChosen(t *testing.T) {
	t.Parallel()
	lab, err := read(nil)
	require.NoError(t, err)
	require.Equal(t, &Settings{Engine: "auto", Node: "auto", Machine: usual}, lab, "nothing is broken by default")
	lab, err = read(map[string]string{"E2E_FAULT": "cold-start"})
	require.NoError(t, err)
	require.Equal(t, fault.ColdStart, lab.Fault)
	for want, env := range map[string]map[string]string{
		`"everything" is not one of cold-start`:     {"E2E_FAULT": "everything"},
		"E2E_REGRESSION: is called E2E_FAULT now":   {"E2E_REGRESSION": "cold-start"},
		"E2E_REGRESSIONS: is called E2E_FAULTS now": {"E2E_REGRESSIONS": "lost"},
		"and the backend is live":                   {"E2E_FAULT": "cold-start", "CEDANA_AUTH_TOKEN": "canary"},
	} {
		_, err := read(env)
		require.ErrorContains(t, err, want)
		var problems settings.Problems
		require.ErrorAs(t, err, &problems)
		require.Equal(t, 2, problems.ExitStatus())
	}
}

// The lab's problems are told with the core's, in one report.
func TestEveryVariableOfTheLabIsChecked(t *testing.T) {
	t.Parallel()
	lab, err := read(map[string]string{"E2E_ENGINE": "private", "E2E_NODE": "k3s", "E2E_K3S_IMAGE": "rancher/k3s:1", "VM": "debian-12", "E2E_VM_MEMORY": "6", "E2E_VM_TARGET": "doctor"})
	require.NoError(t, err)
	require.Equal(t, &Settings{Engine: "private", Node: "k3s", K3sImage: "rancher/k3s:1", Machine: Machine{Release: "debian-12", Memory: 6, Target: "doctor"}}, lab)
	_, err = read(map[string]string{"E2E_ENGINE": "podman", "E2E_NODE": "kind", "E2E_AGENTS": "many", "VM": "plan-9", "E2E_VM_MEMORY": "1"})
	var problems settings.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 5)
}
