package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/k3d-io/k3d/v5/pkg/actions"
	k3d "github.com/k3d-io/k3d/v5/pkg/types"
	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestTheRuncRootIsGivenToBothRuntimesOfANode(t *testing.T) {
	t.Parallel()
	m := &maker{settings: &settings.Cluster{RuncRoot: "/run/e2e-other/runc/k8s.io"}}
	node := &k3d.Node{Name: "k3d-a-agent-0"}
	rt := &driver{files: make(map[string]*bytes.Buffer)}
	require.NoError(t, m.configureRuncRoot(rt, node))
	require.Len(t, node.HookActions, 1)
	assert.Equal(t, k3d.LifecycleStagePreStart, node.HookActions[0].Stage)
	action, ok := node.HookActions[0].Action.(actions.WriteFileAction)
	require.True(t, ok)
	assert.Equal(t, runcRootFile, action.Dest)

	var config struct {
		Version int `toml:"version"`
		Plugins map[string]struct {
			Containerd struct {
				Runtimes map[string]struct {
					Options map[string]string `toml:"options"`
				} `toml:"runtimes"`
			} `toml:"containerd"`
		} `toml:"plugins"`
	}
	require.NoError(t, toml.Unmarshal(action.Content, &config))
	assert.Equal(t, 3, config.Version)
	runtimes := config.Plugins["io.containerd.cri.v1.runtime"].Containerd.Runtimes
	for _, name := range []string{"runc", "cedana"} {
		// containerd adds the namespace.
		assert.Equal(t, map[string]string{"Root": "/run/e2e-other/runc"}, runtimes[name].Options, name)
	}
	require.Len(t, runtimes, 2)
}

// TestRuntimeCheck runs the shell text that is meant for a node here, against a node's files in a directory.
func TestRuntimeCheck(t *testing.T) {
	t.Parallel()
	const imports = "imports = [\"/x/config-v3.toml.d/*.toml\"]\n"
	const good = imports + "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.cedana]\n"
	for name, c := range map[string]struct {
		config string
		// states are of containers that have one in the runc root; the tasks are those that run.
		states, tasks []string
		noDropIn      bool
		broken        bool
		says          string
	}{
		"all there":                          {config: good, states: []string{"c1", "c2"}, tasks: []string{"c1", "c2"}},
		"no container yet":                   {config: good},
		"quoted, as k3s writes it":           {config: imports + "[plugins.\"x\".containerd.runtimes.\"cedana\"]\n"},
		"no config":                          {says: "there is no"},
		"no runtime cedana":                  {config: imports + "[plugins.x.containerd.runtimes.runc]\n# cedana\n", says: "no runtime cedana"},
		"only options of the runtime":        {config: imports + "[plugins.x.containerd.runtimes.cedana.options]\n", says: "no runtime cedana"},
		"no imports":                         {config: strings.TrimPrefix(good, imports), says: "does not import"},
		"nothing to import":                  {config: good, noDropIn: true, says: "there is no"},
		"a container of another root":        {config: good, tasks: []string{"c1"}, says: "runc root is another one"},
		"one of two has the state elsewhere": {config: good, states: []string{"c1"}, tasks: []string{"c1", "c2"}, says: "state of container c2 is not found"},
		"containerd does not answer":         {config: good, broken: true, says: "list containers: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.config != "" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "config.toml"), []byte(c.config), 0o644))
			}
			dropIn := filepath.Join(dir, "drop-in.toml")
			if !c.noDropIn {
				require.NoError(t, os.WriteFile(dropIn, nil, 0o644))
			}
			root := filepath.Join(dir, "runc")
			for _, id := range c.states {
				require.NoError(t, os.MkdirAll(filepath.Join(root, id), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(root, id, "state.json"), nil, 0o644))
			}
			ctr := fmt.Sprintf("#!/bin/sh\nprintf '%%s' '%s'\n", strings.Join(append(c.tasks, ""), "\n"))
			if c.broken {
				ctr = "#!/bin/sh\necho connection refused >&2\nexit 1\n"
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ctr"), []byte(ctr), 0o755))
			script := strings.NewReplacer("/etc/containerd/config.toml", filepath.Join(dir, "config.toml"), "find /run ", "find "+dir+"/elsewhere ").Replace(runtimeCheck)
			cmd := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", root, dropIn)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if c.says == "" {
				require.NoError(t, err, string(out))
				return
			}
			require.Error(t, err)
			assert.Contains(t, string(out), c.says)
		})
	}
}
