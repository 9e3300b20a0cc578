package cluster

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
	k3dclient "github.com/k3d-io/k3d/v5/pkg/client"
	conf "github.com/k3d-io/k3d/v5/pkg/config/v1alpha5"
	"github.com/k3d-io/k3d/v5/pkg/runtimes"
	k3d "github.com/k3d-io/k3d/v5/pkg/types"
	"github.com/k3d-io/k3d/v5/pkg/types/k3s"
	"golang.org/x/sync/errgroup"
)

// createNodes makes the node containers as k3d's ClusterCreate does for one server without a load balancer, but
// without its sleep of a second before each server, which is for servers that meet (pkg/client/cluster.go of v5.9.0).
// The labels are those that k3d's own commands expect to find.
func (m *maker) createNodes(ctx context.Context, rt runtimes.Runtime, cfg *conf.ClusterConfig, gateway string) error {
	c := &cfg.Cluster
	c.Token = k3dclient.GenerateClusterToken()
	url := fmt.Sprintf("https://%s:%s", k3dclient.GenerateNodeName(c.Name, k3d.ServerRole, 0), k3d.DefaultAPIPort)
	labels := cfg.ClusterCreateOpts.GlobalLabels
	labels[k3d.LabelClusterName] = c.Name
	labels[k3d.LabelClusterToken] = c.Token
	labels[k3d.LabelClusterURL] = url
	labels[k3d.LabelServerLoadBalancer] = ""
	all, ctx := errgroup.WithContext(ctx)
	for _, n := range c.Nodes {
		n.FillRuntimeLabels()
		maps.Copy(n.RuntimeLabels, labels)
		n.Env = append(n.Env, cfg.ClusterCreateOpts.GlobalEnv...)
		n.Env = append(n.Env, k3s.EnvClusterToken+"="+c.Token)
		n.ExtraHosts = append(n.ExtraHosts, k3d.DefaultK3dInternalHostRecord+":"+gateway)
		n.Networks = []string{c.Network.Name}
		n.Restart = true
		n.Env = append(n.Env, m.startLimit())
		if err := m.configureRuncRoot(rt, n); err != nil {
			return err
		}
		switch n.Role {
		case k3d.ServerRole:
			n.ServerOpts.KubeAPI = c.KubeAPI
			n.Ports = nat.PortMap{k3d.DefaultAPIPort: {c.KubeAPI.Binding}}
		case k3d.AgentRole:
			n.Env = append(n.Env, k3s.EnvClusterConnectURL+"="+url)
		}
		all.Go(func() error { return k3dclient.NodeCreate(ctx, rt, n, k3d.NodeCreateOpts{}) })
	}
	return all.Wait()
}

// startLimit tells the node for how long its cluster may take to come up: its own limits follow it. The official k3s
// has none.
func (m *maker) startLimit() string { return "E2E_CLUSTER_TIMEOUT=" + m.settings.Timeout.String() }

// addAgents makes and starts the agents that a cluster lacks, with the images in them. The token, the address to join at, and whatever else
// k3d's labels hold are the server's: what it was made with is nowhere else.
func (m *maker) addAgents(ctx context.Context, rt runtimes.Runtime, have existing, gateway netip.Addr) error {
	server := have.nodes[0].Labels
	token, url := server[k3d.LabelClusterToken], server[k3d.LabelClusterURL]
	if token == "" || url == "" {
		return fmt.Errorf("add agents: %s has no label %s or %s: `go tool mage clean` and run again", have.nodes[0].Name, k3d.LabelClusterToken, k3d.LabelClusterURL)
	}
	port, err := freePort() // of the servers alone, none of which is made here
	if err != nil {
		return err
	}
	cfg, err := m.config(ctx, rt, port)
	if err != nil {
		return err
	}
	agents, ctx := errgroup.WithContext(ctx)
	for _, n := range cfg.Nodes {
		if n.Role != k3d.AgentRole || slices.Contains(have.names(), n.Name) {
			continue
		}
		n.FillRuntimeLabels()
		for key, value := range server {
			if _, own := n.RuntimeLabels[key]; !own && strings.HasPrefix(key, "k3d.cluster") {
				n.RuntimeLabels[key] = value
			}
		}
		n.Env = append(n.Env, k3s.EnvClusterToken+"="+token, k3s.EnvClusterConnectURL+"="+url)
		n.ExtraHosts = append(n.ExtraHosts, k3d.DefaultK3dInternalHostRecord+":"+gateway.String())
		n.Networks = []string{networkName(m.settings.ClusterName)}
		n.Volumes = append(n.Volumes, imageVolume(m.settings.ClusterName)+":"+k3d.DefaultImageVolumeMountPath)
		n.Restart = true
		n.Env = append(n.Env, m.startLimit())
		if err := m.configureRuncRoot(rt, n); err != nil {
			return err
		}
		agents.Go(func() error {
			if err := k3dclient.NodeCreate(ctx, rt, n, k3d.NodeCreateOpts{}); err != nil {
				return err
			}
			if err := m.layImages(ctx, n.Name); err != nil {
				return err
			}
			if err := startNode(ctx, rt, n, gateway, k3d.IntentNodeCreate); err != nil {
				return err
			}
			return m.clearLaid(ctx, n.Name)
		})
	}
	return agents.Wait()
}

// startNodes starts what does not run: servers one after the other, then all agents. k3d waits for what a node says when
// it is up, also of one that will never say it, so the nodes are watched meanwhile.
func (m *maker) startNodes(ctx context.Context, rt runtimes.Runtime, c *k3d.Cluster, gateway netip.Addr, intent k3d.Intent) (err error) {
	ctx, stop := m.watching(ctx, true)
	defer stop()
	defer func() {
		if err != nil {
			err = withCause(ctx, err)
		}
	}()
	for _, n := range c.Nodes {
		if n.Role == k3d.ServerRole {
			if err := startNode(ctx, rt, n, gateway, intent); err != nil {
				return err
			}
		}
	}
	agents, starting := errgroup.WithContext(ctx)
	for _, n := range c.Nodes {
		if n.Role == k3d.AgentRole {
			agents.Go(func() error { return startNode(starting, rt, n, gateway, intent) })
		}
	}
	return agents.Wait()
}

func startNode(ctx context.Context, rt runtimes.Runtime, n *k3d.Node, gateway netip.Addr, intent k3d.Intent) error {
	return k3dclient.NodeStart(ctx, rt, n, &k3d.NodeStartOpts{
		Wait:            true,
		NodeHooks:       n.HookActions,
		EnvironmentInfo: &k3d.EnvironmentInfo{HostGateway: gateway},
		Intent:          intent,
	})
}

// hostGateway is the host's address as the nodes see it. The real runtime is asked, not ours: k3d answers for its own
// only. On Docker Desktop and Colima this runs the tools container, which is of no use afterwards.
func (m *maker) hostGateway(ctx context.Context, c *k3d.Cluster) (netip.Addr, error) {
	gateway, err := k3dclient.GetHostIP(ctx, runtimes.Docker, c)
	if err != nil {
		return netip.Addr{}, err
	}
	err = m.engine.ContainerRemove(ctx, toolsNode(c.Name), container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return netip.Addr{}, fmt.Errorf("remove k3d's tools container: %w", err)
	}
	return gateway, nil
}
