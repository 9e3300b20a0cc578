package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/client"
	k3dclient "github.com/k3d-io/k3d/v5/pkg/client"
	k3dconfig "github.com/k3d-io/k3d/v5/pkg/config"
	conftypes "github.com/k3d-io/k3d/v5/pkg/config/types"
	conf "github.com/k3d-io/k3d/v5/pkg/config/v1alpha5"
	"github.com/k3d-io/k3d/v5/pkg/runtimes"
	k3d "github.com/k3d-io/k3d/v5/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/cluster/tunables"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	// loopback is where the API is published: k3d's own default is every interface.
	loopback = "127.0.0.1"
	// rollbackAfterCancel bounds the removal of a half-made cluster after Ctrl-C: mage ends the process five
	// seconds after it. What is left then is found by its labels.
	rollbackAfterCancel = 4 * time.Second
	// rollback bounds it after any other failure.
	rollback = 30 * time.Second
	// reuseTimeout is how long a cluster that is there already may take to become usable before it is made anew. It
	// covers a node that was just started, on a slow machine.
	reuseTimeout = 90 * time.Second
	// lateMaking is how long the engine may take to carry out a request that was cancelled.
	lateMaking = time.Second
	// portAttempts is how often a new port is tried when somebody else took the free one just found.
	portAttempts = 3
	// tailLines of each node's log go into the error.
	tailLines = 15
)

// maker makes one cluster.
type maker struct {
	con      *console.Console
	settings *settings.Cluster
	options  Options
	engine   *client.Client
}

// serverArguments are for k3s: without what the suite does not use, a cluster is there sooner and smaller.
var serverArguments = []string{
	"--disable=traefik",
	"--disable=servicelb",
	"--disable=metrics-server",
	"--disable=local-storage",
}

// nodeArguments are for servers and agents: a developer's disk that is nearly full must not taint the node
// (https://k3d.io/stable/faq/faq/#pods-evicted-due-to-lack-of-disk-space), and the kubelet, which gives the runtime two
// minutes, must not end a restore that may take longer. From Kubernetes 1.35 on it does not start by itself where the
// machine has cgroups of version 1.
var nodeArguments = []string{
	"--kubelet-arg=fail-cgroupv1=false",
	"--kubelet-arg=eviction-hard=imagefs.available<1%,nodefs.available<1%",
	"--kubelet-arg=eviction-minimum-reclaim=imagefs.available=1%,nodefs.available=1%",
	"--kubelet-arg=runtime-request-timeout=" + settings.LongestOperation.String(),
}

// nodeMonitorGrace is Kubernetes' own: a node that has not been heard of for so long is not ready, and with it all of its pods.
const nodeMonitorGrace = 50 * time.Second

// slowArguments are for the servers of a slow machine. What they set does not make a cluster another one.
func slowArguments() []string {
	if stretch.Factor() == 1 {
		return nil
	}
	return []string{"--kube-controller-manager-arg=node-monitor-grace-period=" + stretch.Limit(nodeMonitorGrace).Round(time.Second).String()}
}

func arguments() []string { return slices.Concat(serverArguments, nodeArguments) }

// make creates the cluster and waits until it is usable. On failure it rolls back.
func (m *maker) make(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = m.rollback(ctx, err)
		}
	}()
	name := m.settings.ClusterName
	return m.con.Run(ctx, "create cluster "+name, func(ctx context.Context, step *console.Step) error {
		begin := time.Now()
		for attempt := 1; ; attempt++ {
			err := m.create(ctx, step)
			if err == nil || attempt == portAttempts || ctx.Err() != nil || !portTaken(err) {
				if err != nil {
					return fmt.Errorf("create cluster %s: %w", name, withCause(ctx, err))
				}
				break
			}
			step.Set("the API's port was taken by another process, trying another one")
			if err := remove(ctx, m.engine, name, m.settings.Owner()); err != nil {
				return fmt.Errorf("create cluster %s: %w", name, err)
			}
		}
		ready, err := m.complete(ctx, step)
		if err != nil {
			return fmt.Errorf("create cluster %s: %w", name, err)
		}
		step.Note("%s Ready after %s, kubeconfig %s", count(1+m.settings.Agents, "node"),
			ready.Sub(begin).Round(10*time.Millisecond), m.settings.Kubeconfig())
		return nil
	})
}

// bring makes a cluster that is there usable: it starts the nodes that are stopped, adds the agents that are missing,
// and waits.
func (m *maker) bring(ctx context.Context, have existing, todo action) error {
	name := m.settings.ClusterName
	title := "check cluster " + name
	switch todo {
	case start:
		title = "start cluster " + name
	case grow:
		title = fmt.Sprintf("add %s to cluster %s", count(m.settings.Agents-have.count(k3d.AgentRole), "agent"), name)
	}
	return m.con.Run(ctx, title, func(ctx context.Context, step *console.Step) error {
		ctx, cancel := context.WithTimeout(ctx, stretch.Limit(reuseTimeout))
		defer cancel()
		err := m.driven(step, func(rt runtimes.Runtime) error {
			c, err := k3dclient.ClusterGet(ctx, rt, &k3d.Cluster{Name: name})
			if err != nil {
				return err
			}
			if todo != keep {
				gateway, err := m.hostGateway(ctx, c)
				if err != nil {
					return err
				}
				if err := m.startNodes(ctx, rt, c, gateway, k3d.IntentClusterStart); err != nil {
					return err
				}
				if todo == grow {
					if err := m.addAgents(ctx, rt, have, gateway); err != nil {
						return err
					}
				}
			}
			return m.writeKubeconfig(ctx, rt, c, step)
		})
		if err == nil {
			_, err = m.complete(ctx, step)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", title, withCause(ctx, err))
		}
		step.Note("%s, kubeconfig %s", count(max(len(have.nodes), 1+m.settings.Agents), "node"), m.settings.Kubeconfig())
		return nil
	})
}

func (m *maker) create(ctx context.Context, step *console.Step) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	return m.driven(step, func(rt runtimes.Runtime) error {
		cfg, err := m.config(ctx, rt, port)
		if err != nil {
			return err
		}
		step.Set("making its network")
		if err := k3dclient.ClusterPrep(ctx, rt, cfg); err != nil {
			return err
		}
		gateway, err := m.hostGateway(ctx, &cfg.Cluster)
		if err != nil {
			return err
		}
		step.Set("making the node containers")
		if err := m.createNodes(ctx, rt, cfg, gateway.String()); err != nil {
			return err
		}
		step.Set("starting the nodes")
		if err := m.startNodes(ctx, rt, &cfg.Cluster, gateway, k3d.IntentClusterCreate); err != nil {
			return err
		}
		return m.writeKubeconfig(ctx, rt, &cfg.Cluster, step)
	})
}

// config is built the way k3d's command line does it: a hand-made ClusterConfig lacks maps that the library writes to.
func (m *maker) config(ctx context.Context, rt runtimes.Runtime, port int) (*conf.ClusterConfig, error) {
	simple := conf.SimpleConfig{
		ObjectMeta: conftypes.ObjectMeta{Name: m.settings.ClusterName},
		Servers:    1,
		Agents:     m.settings.Agents,
		Image:      m.options.Image,
		// The library leaves an empty port to Docker and then writes a kubeconfig without one.
		ExposeAPI: conf.SimpleExposureOpts{Host: loopback, HostIP: loopback, HostPort: strconv.Itoa(port)},
	}
	simple.Options.K3dOptions.Wait = true
	simple.Options.K3dOptions.DisableLoadbalancer = true
	labels := m.settings.DockerLabels()
	wanted := want(m.settings, m.options)
	labels[specLabel], labels[runcRootLabel] = wanted.spec, wanted.runcRoot
	before, err := tunables.Before(ctx, m.engine, tunables.ProcSys)
	if err != nil {
		return nil, err
	}
	if before != "" {
		m.con.Step("the kubelet changes this machine's kernel; `go tool mage clean` sets back %s", before)
		labels[tunables.Label] = before
	}
	for key, value := range labels {
		simple.Options.Runtime.Labels = append(simple.Options.Runtime.Labels,
			conf.LabelWithNodeFilters{Label: key + "=" + value, NodeFilters: []string{"all"}})
	}
	for _, arg := range slices.Concat(serverArguments, slowArguments()) {
		simple.Options.K3sOptions.ExtraArgs = append(simple.Options.K3sOptions.ExtraArgs,
			conf.K3sArgWithNodeFilters{Arg: arg, NodeFilters: []string{"server:*"}})
	}
	for _, arg := range nodeArguments {
		simple.Options.K3sOptions.ExtraArgs = append(simple.Options.K3sOptions.ExtraArgs,
			conf.K3sArgWithNodeFilters{Arg: arg, NodeFilters: []string{"all"}})
	}
	if err := k3dconfig.ProcessSimpleConfig(&simple); err != nil {
		return nil, err
	}
	cfg, err := k3dconfig.TransformSimpleToClusterConfig(ctx, rt, simple, "")
	if err != nil {
		return nil, err
	}
	cfg, err = k3dconfig.ProcessClusterConfig(*cfg)
	if err != nil {
		return nil, err
	}
	return cfg, k3dconfig.ValidateClusterConfig(ctx, rt, *cfg)
}

func (m *maker) writeKubeconfig(ctx context.Context, rt runtimes.Runtime, c *k3d.Cluster, step *console.Step) error {
	// A container that was just started may not have written it yet.
	return until(ctx, step, "the kubeconfig on the server", func(ctx context.Context) (bool, string, error) {
		cfg, err := k3dclient.KubeconfigGet(ctx, rt, c)
		if err != nil {
			return false, err.Error(), nil
		}
		data, err := clientcmd.Write(*cfg)
		if err != nil {
			return false, "", fmt.Errorf("encode kubeconfig: %w", err)
		}
		return true, "", atomicfile.Write(m.settings.Kubeconfig(), data, 0o600)
	})
}

// rollback removes what was made, after collecting the nodes' logs, and returns the error to report. After Ctrl-C
// there is time for the removal only.
func (m *maker) rollback(ctx context.Context, cause error) error {
	cancelled := ctx.Err() != nil
	interrupted := errors.Is(ctx.Err(), context.Canceled)
	limit := stretch.Limit(rollback)
	if interrupted {
		limit = rollbackAfterCancel
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if !interrupted {
		// The logs must not take the time that the removal needs.
		logCtx, stop := context.WithTimeout(ctx, limit/2)
		defer stop()
		cause = fmt.Errorf("%w%s", cause, m.tail(logCtx))
		if err := m.save(logCtx); err != nil {
			m.con.Warn("%v", err)
		}
	}
	name := m.settings.ClusterName
	if err := m.removeAll(ctx, name, cancelled); err != nil {
		return fmt.Errorf("%w\nremove what was made of cluster %s: %w (next: `go tool mage clean`)", cause, name, err)
	}
	if err := m.forget(ctx); err != nil {
		m.con.Warn("%v", err)
	}
	m.con.Step("what was made of cluster %s is removed", name)
	return cause
}

// removeAll removes the cluster and, when requests were cancelled, keeps looking for a while: the engine may still
// carry them out, and make a container after it was looked for.
func (m *maker) removeAll(ctx context.Context, name string, cancelled bool) error {
	quiet := time.Now().Add(lateMaking)
	for {
		if err := remove(ctx, m.engine, name, m.settings.Owner()); err != nil {
			return err
		}
		if !cancelled || time.Now().After(quiet) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lateMaking / 5):
		}
	}
}

// forget removes the kubeconfig, and the whole cluster directory when nothing is left that `mage clean` would need it
// for: the propagator's data with its token, a registration, or another cluster that runs of this name were in.
func (m *maker) forget(ctx context.Context) error {
	dir := m.settings.ClusterDir()
	st, err := state.Load(dir)
	if err != nil {
		return err
	}
	left, err := docker.Find(ctx, m.engine, m.settings.ClusterName)
	if err != nil {
		return err
	}
	owner := m.settings.Owner()
	if slices.ContainsFunc(left, func(o docker.Object) bool { return o.Ours(owner) }) || st.Outlasts() {
		return removeFile(m.settings.Kubeconfig())
	}
	if err := state.Remove(dir); err != nil {
		return err
	}
	// Fails where there is something in it, which is what is wanted.
	_ = os.Remove(m.settings.Clusters())
	settings.RemoveOwner(m.settings.Home)
	return nil
}

// tail is the last lines of each node's log, to go after an error.
func (m *maker) tail(ctx context.Context) string {
	have, err := inspect(ctx, m.engine, m.settings.ClusterName, m.settings.Owner())
	if err != nil {
		return fmt.Sprintf("\n(no node logs: %v)", err)
	}
	var text strings.Builder
	for _, n := range have.nodes {
		lines, err := docker.Tail(ctx, m.engine, n.Name, tailLines)
		if err != nil {
			lines = err.Error()
		}
		if lines == "" {
			lines = "(empty)"
		}
		fmt.Fprintf(&text, "\nlast lines of %s (%s):\n  %s", n.Name, n.State, strings.ReplaceAll(lines, "\n", "\n  "))
	}
	return text.String()
}

// save writes the nodes' whole logs to the artifacts directory.
func (m *maker) save(ctx context.Context) error {
	have, err := inspect(ctx, m.engine, m.settings.ClusterName, m.settings.Owner())
	if err != nil || len(have.nodes) == 0 {
		return err
	}
	dir := logsDir(m.settings)
	if err := handle(m.engine, m.settings, have).Logs(ctx, dir); err != nil {
		return err
	}
	m.con.Step("node logs are in %s", dir)
	return nil
}

// withCause adds why ctx ended: k3d formats errors without wrapping them, so errors.Is would not see it.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// portTaken recognises the engine's words for a host port that somebody else has.
func portTaken(err error) bool {
	text := err.Error()
	return strings.Contains(text, "port is already allocated") || strings.Contains(text, "address already in use")
}

// freePort finds a TCP port of the loopback interface that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
