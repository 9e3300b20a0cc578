package cluster

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/k3d-io/k3d/v5/pkg/actions"
	"github.com/k3d-io/k3d/v5/pkg/runtimes"
	k3d "github.com/k3d-io/k3d/v5/pkg/types"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// runcRootLabel is on every node: the runc root that its containerd was configured with. Containers that run keep their
// state where it was, so a node does not change it.
const runcRootLabel = "ai.cedana.e2e.runc-root"

// runcRootFile is merged into containerd's configuration by k3s and by the node that is compiled here.
const runcRootFile = "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/50-cedana-e2e-runc-root.toml"

// containerdRuntimes are those that a pod may be run with.
var containerdRuntimes = []string{"runc", "cedana"}

// runcRootConfig makes containerd keep the state of each runtime's containers in a runc root. containerd puts its
// namespace behind the option.
func runcRootConfig(root string) ([]byte, error) {
	type table = map[string]any
	defined := table{}
	for _, name := range containerdRuntimes {
		defined[name] = table{"options": table{"Root": filepath.Dir(root)}}
	}
	text, err := toml.Marshal(table{"version": 3, "plugins": table{
		"io.containerd.cri.v1.runtime": table{"containerd": table{"runtimes": defined}},
	}})
	if err != nil {
		return nil, fmt.Errorf("encode containerd's configuration: %w", err)
	}
	return text, nil
}

// configureRuncRoot has the runc root written to a node that is not started yet.
func (m *maker) configureRuncRoot(rt runtimes.Runtime, n *k3d.Node) error {
	content, err := runcRootConfig(m.settings.RuncRoot)
	if err != nil {
		return err
	}
	n.HookActions = append(n.HookActions, k3d.NodeHook{
		Stage: k3d.LifecycleStagePreStart,
		Action: actions.WriteFileAction{
			Runtime: rt, Content: content, Dest: runcRootFile, Mode: 0o644, Description: "configure containerd's runc root",
		},
	})
	return nil
}

// runtimeCheck is run on the node by a shell: $1 is the runc root, $2 the file that configures it. Every container that
// runs must have its state there. A node may have none yet: containerd makes the directory with the first one.
const runtimeCheck = `
config=/etc/containerd/config.toml
test -e "$config" || { echo "there is no $config"; exit 1; }
grep -Eq "runtimes\.[\"']?cedana[\"']?\]" "$config" || { echo "containerd has no runtime cedana in $config"; exit 1; }
grep -Eq "^imports = .*config-v3\.toml\.d" "$config" || { echo "$config does not import $2"; exit 1; }
test -e "$2" || { echo "there is no $2"; exit 1; }
tasks=$(ctr -n k8s.io tasks ls -q 2>&1) || { echo "list containers: $tasks"; exit 1; }
for id in $tasks; do
  test -e "$1/$id/state.json" && continue
  at=$(find /run -path "*/$id/state.json" 2>/dev/null | head -n 1)
  # One that ends meanwhile has no state any more.
  ctr -n k8s.io tasks ls -q | grep -qx "$id" || continue
  echo "the state of container $id is ${at:-not found} and not in $1: containerd's runc root is another one"; exit 1
done
`

func (m *maker) runtimesReady(ctx context.Context, step *console.Step, nodes []string) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		all.Go(func() error {
			what := fmt.Sprintf("containerd on %s to have the runtime cedana and the runc root %s", node, m.settings.RuncRoot)
			// What is wrong here is wrong for good, except for a container that is about to start or end.
			ctx, cancel := context.WithTimeout(ctx, stretch.Limit(runtimesTimeout))
			defer cancel()
			return until(ctx, step, what, func(ctx context.Context) (bool, string, error) {
				var out bytes.Buffer
				err := docker.Exec(ctx, m.engine, node, nil, &out, "sh", "-c", runtimeCheck, "sh", m.settings.RuncRoot, runcRootFile)
				return err == nil, strings.TrimSpace(out.String() + " " + text(err)), nil
			})
		})
	}
	return all.Wait()
}

// runtimesTimeout is for a node that is slow to start a shell and ctr, not for something to change.
const runtimesTimeout = time.Minute
