package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Cluster is what a k3d cluster is made with.
type Cluster struct {
	Run
	// Agents is how many agent nodes the cluster has at least, beside its server: AgentsChosen says that E2E_AGENTS
	// asks for exactly so many, else it is what the tests of SUITE want.
	Agents       int
	AgentsChosen bool
	// RuncRoot is where containerd keeps runc's state on every node: its runc root plus its namespace.
	RuncRoot string
	// Timeout bounds making the cluster and, before that, waiting for its turn.
	Timeout time.Duration
}

// ExistingCluster is a Kubernetes cluster that was there before (E2E_CLUSTER=existing). A run puts its own objects into
// it and takes no other away.
type ExistingCluster struct {
	// Kubeconfig is a file, Context a context in it. Neither has a default: the wrong cluster must not be hit because
	// it happened to be the current one.
	Kubeconfig string
	Context    string
	// Images are pulled by the cluster itself. Counter is empty where no image was given; its tests are skipped then.
	ImageNginx, ImageCounter string
}

// agentsFor is how many agents the tests of a group want: one to restore on and to lose; chaos has two to choose from.
var agentsFor = map[Group]int{Full: 1, Chaos: 2}

func readCluster(v *Variables, r *Run) (Cluster, *ExistingCluster) {
	v.Group("Cluster")
	var c Cluster
	readClusterName(v, r)
	existing := readExisting(v)
	if existing != nil && !r.ClusterChosen {
		r.ClusterName = existing.name()
	}
	c.RuncRoot = readRuncRoot(v)
	const agents = "E2E_AGENTS"
	c.Agents = v.Number(Variable{
		Name: agents, DefaultText: "what the group wants: `full` 1, `chaos` 2, else 0",
		Doc: "agent nodes beside the server. A cluster that has fewer is given more; one that has more is taken as it is, unless this asks for exactly so many",
	}, 0, 10)
	c.AgentsChosen = v.Given(agents)
	return c, existing
}

// containerdNamespace is where containerd's CRI plugin has all that is Kubernetes'.
const containerdNamespace = "k8s.io"

// readRuncRoot wants a path whose last part is that namespace: a runtime's option Root is a directory to which containerd
// adds it.
func readRuncRoot(v *Variables) string {
	d := Variable{
		Name: "RUNC_ROOT", Default: "/run/containerd/runc/k8s.io",
		Doc: "where containerd on every node keeps runc's state, for the runtimes `runc` and `cedana`: an absolute path that ends in containerd's " +
			"namespace, `k8s.io`. The cluster is configured with it, and made anew when it was made with another",
	}
	value := v.Text(d)
	root := filepath.Clean(value)
	switch {
	case !filepath.IsAbs(value):
		v.Problem(d.Name, fmt.Sprintf("%q is not an absolute path", value), d.example())
	case filepath.Base(root) != containerdNamespace || filepath.Dir(root) == "/":
		v.Problem(d.Name, fmt.Sprintf("%q is not a directory with containerd's namespace for Kubernetes, %s, in it: containerd keeps runc's state in ROOT/%s",
			value, containerdNamespace, containerdNamespace), d.example())
	}
	return root
}

func readExisting(v *Variables) *ExistingCluster {
	kind := v.OneOf(Variable{
		Name: "E2E_CLUSTER", Default: "k3d", Doc: "`k3d`, or `existing`: run in the cluster of `KUBECONFIG` and `KUBECONTEXT`, live backend only",
	}, "k3d", "existing")
	file := Variable{
		Name: "KUBECONFIG", Example: "/home/me/.kube/config", For: "`E2E_CLUSTER=existing`", Doc: "one file, not a list; required, and read for nothing else",
	}
	context := Variable{
		Name: "KUBECONTEXT", Example: "my-cluster", For: "`E2E_CLUSTER=existing`", Doc: "a context in it; required, and read for nothing else",
	}
	out := &ExistingCluster{
		Kubeconfig: v.Text(file),
		Context:    v.Text(context),
		ImageNginx: v.Text(Variable{
			Name: "E2E_IMAGE_NGINX", Default: "docker.io/library/nginx:1.28", For: "`E2E_CLUSTER=existing`",
			Doc: "nginx that the cluster pulls; a k3d cluster is given its own",
		}),
		ImageCounter: v.Text(Variable{
			Name: "E2E_IMAGE_COUNTER", Example: "registry.example/counter:1", For: "`E2E_CLUSTER=existing`",
			Doc: "the counter's image that the cluster pulls; without it the tests that need it are skipped",
		}),
	}
	if kind != "existing" {
		return nil
	}
	if out.Context == "" {
		v.Problem(context.Name, "must be set for E2E_CLUSTER=existing", context.Example)
	}
	if out.Kubeconfig == "" {
		v.Problem(file.Name, "must be set for E2E_CLUSTER=existing", file.Example)
		return out
	}
	abs, err := filepath.Abs(out.Kubeconfig)
	if err != nil {
		v.Problem(file.Name, err.Error(), file.Example)
	}
	if info, err := os.Stat(abs); err != nil || !info.Mode().IsRegular() {
		v.Problem(file.Name, fmt.Sprintf("%q is not a file that exists (a list of files is not taken)", out.Kubeconfig), file.Example)
	}
	out.Kubeconfig = abs
	return out
}

// name stands in for CLUSTER_NAME, so that what is remembered of one cluster is never taken for another's.
func (e *ExistingCluster) name() string {
	sum := sha256.Sum256([]byte(e.Kubeconfig + "\x00" + e.Context))
	return "existing-" + hex.EncodeToString(sum[:4])
}
