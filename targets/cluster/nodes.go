package cluster

import (
	"context"
	"fmt"
	"maps"
	"net/netip"

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
func createNodes(ctx context.Context, rt runtimes.Runtime, cfg *conf.ClusterConfig, gateway string) error {
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

// startNodes starts what does not run: servers one after the other, then all agents.
func startNodes(ctx context.Context, rt runtimes.Runtime, c *k3d.Cluster, gateway netip.Addr, intent k3d.Intent) error {
	run := func(ctx context.Context, n *k3d.Node) error {
		return k3dclient.NodeStart(ctx, rt, n, &k3d.NodeStartOpts{
			Wait:            true,
			NodeHooks:       n.HookActions,
			EnvironmentInfo: &k3d.EnvironmentInfo{HostGateway: gateway},
			Intent:          intent,
		})
	}
	for _, n := range c.Nodes {
		if n.Role == k3d.ServerRole {
			if err := run(ctx, n); err != nil {
				return err
			}
		}
	}
	agents, ctx := errgroup.WithContext(ctx)
	for _, n := range c.Nodes {
		if n.Role == k3d.AgentRole {
			agents.Go(func() error { return run(ctx, n) })
		}
	}
	return agents.Wait()
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
