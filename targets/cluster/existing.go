package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/filters"
	k3d "github.com/k3d-io/k3d/v5/pkg/types"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/tunables"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// specLabel is on every node: a hash of all that a cluster is made with beside image, size and runc root, so that
// a cluster made by another version of this project is not taken for the wanted one.
const specLabel = "ai.cedana.e2e.spec"

// existing is what the engine has of one cluster.
type existing struct {
	// nodes are servers, then agents, each by name.
	nodes  []docker.Object
	others []docker.Object
}

func (e existing) names() []string {
	var names []string
	for _, n := range e.nodes {
		names = append(names, n.Name)
	}
	return names
}

func (e existing) count(role k3d.Role) int {
	n := 0
	for _, node := range e.nodes {
		if node.Labels[k3d.LabelRole] == string(role) {
			n++
		}
	}
	return n
}

func networkName(cluster string) string { return k3d.GetDefaultObjectName(cluster) }

func imageVolume(cluster string) string { return k3d.GetDefaultObjectName(cluster) + "-images" }

// toolsNode is k3d's short-lived helper container. k3d itself makes it, on Docker Desktop and Colima only.
func toolsNode(cluster string) string { return k3d.GetDefaultObjectName(cluster) + "-tools" }

// inspect lists what there is of the cluster. k3d's own ClusterGet takes an engine that fails for one that has no
// cluster, and does not see networks. Objects of the cluster's name that this project did not make for this owner are a
// [*ForeignError].
func inspect(ctx context.Context, e docker.Engine, cluster, owner string) (existing, error) {
	ours, err := docker.Find(ctx, e, cluster)
	if err != nil {
		return existing{}, fmt.Errorf("inspect cluster %s: %w", cluster, err)
	}
	// k3d's own label finds the nodes of a cluster whoever made it; the name finds its network and its volume.
	theirs, err := docker.List(ctx, e, filters.NewArgs(filters.Arg("label", k3d.LabelClusterName+"="+cluster)))
	if err != nil {
		return existing{}, fmt.Errorf("inspect cluster %s: %w", cluster, err)
	}
	named, err := docker.List(ctx, e, filters.NewArgs(filters.Arg("name", networkName(cluster))))
	if err != nil {
		return existing{}, fmt.Errorf("inspect cluster %s: %w", cluster, err)
	}
	for _, o := range named {
		// The engine's name filter finds substrings.
		if o.Name == networkName(cluster) || o.Name == imageVolume(cluster) || nodeNamed(o, cluster) {
			theirs = append(theirs, o)
		}
	}
	var foreign []docker.Object
	for _, o := range append(theirs, ours...) {
		// Its own label tells, not the list of ours: another process of ours may have made it since.
		made := o.Ours(owner) && o.Cluster == cluster
		seen := slices.ContainsFunc(foreign, func(f docker.Object) bool { return f.Kind == o.Kind && f.ID == o.ID })
		if !made && !seen {
			foreign = append(foreign, o)
		}
	}
	if len(foreign) > 0 {
		host := docker.Host()
		if named, ok := e.(interface{ DaemonHost() string }); ok {
			host = named.DaemonHost()
		}
		return existing{}, &ForeignError{Name: cluster, Host: host, Owner: owner, Objects: foreign}
	}
	var have existing
	for _, o := range ours {
		switch role := o.Labels[k3d.LabelRole]; {
		case o.Kind == docker.Container && (role == string(k3d.ServerRole) || role == string(k3d.AgentRole)):
			have.nodes = append(have.nodes, o)
		default:
			have.others = append(have.others, o)
		}
	}
	slices.SortStableFunc(have.nodes, func(a, b docker.Object) int {
		// "server" sorts after "agent".
		return strings.Compare(b.Labels[k3d.LabelRole], a.Labels[k3d.LabelRole])
	})
	return have, nil
}

// nodeNamed reports whether a container has the name of a node of the cluster, as k3d makes them.
func nodeNamed(o docker.Object, cluster string) bool {
	rest, ok := strings.CutPrefix(o.Name, k3d.GetDefaultObjectName(cluster)+"-")
	return ok && o.Kind == docker.Container && (strings.HasPrefix(rest, "server-") || strings.HasPrefix(rest, "agent-"))
}

// wanted is what a cluster of these settings is made of.
type wanted struct {
	image string
	// agents is how many there are at least, and with exact, at most too.
	agents int
	exact  bool
	spec   string
	// runcRoot is checked by itself, so that a run can say that it is why.
	runcRoot string
}

func want(s *settings.Cluster, o Options) wanted {
	// Marshalling strings cannot fail.
	text, _ := json.Marshal(arguments())
	sum := sha256.Sum256(text)
	return wanted{image: o.Image, agents: s.Agents, exact: s.AgentsChosen, spec: hex.EncodeToString(sum[:6]), runcRoot: s.RuncRoot}
}

// action is what is to be done about an existing cluster.
type action int

const (
	create action = iota
	keep
	start
	// grow is start, and then adding the agents that are missing.
	grow
	recreate
)

// judge compares what is there with what is wanted. why is for recreate only.
func judge(have existing, want wanted) (todo action, why string) {
	if len(have.nodes) == 0 {
		if slices.ContainsFunc(have.others, func(o docker.Object) bool { return o.Kind == docker.Network }) {
			return recreate, "an earlier run left it half made, without a node"
		}
		return create, ""
	}
	if n := have.count(k3d.ServerRole); n != 1 {
		return recreate, fmt.Sprintf("it has %d servers, 1 is wanted", n)
	}
	if n := have.count(k3d.AgentRole); n > want.agents && want.exact {
		return recreate, fmt.Sprintf("it has %d agents, E2E_AGENTS wants %d", n, want.agents)
	}
	if !slices.ContainsFunc(have.others, func(o docker.Object) bool { return o.Kind == docker.Network }) {
		return recreate, "its network is gone"
	}
	stopped := false
	for _, n := range have.nodes {
		switch {
		case n.Image != want.image:
			return recreate, fmt.Sprintf("%s runs image %s, %s is wanted", n.Name, n.Image, want.image)
		case n.Labels[specLabel] != want.spec:
			return recreate, "it was made by another version of this project"
		case n.Labels[runcRootLabel] != want.runcRoot:
			return recreate, fmt.Sprintf("its containerd keeps runc's state in %s, RUNC_ROOT wants %s", n.Labels[runcRootLabel], want.runcRoot)
		case n.State == "created":
			// Never started: the files that k3d puts into a node before its start may be missing.
			return recreate, fmt.Sprintf("an earlier run left it half made: %s was never started", n.Name)
		case n.State == "dead" || n.State == "removing" || n.State == "paused":
			return recreate, fmt.Sprintf("%s is %s", n.Name, n.State)
		case n.State != "running" && n.State != "restarting":
			stopped = true
		}
	}
	switch {
	case have.count(k3d.AgentRole) < want.agents:
		return grow, ""
	case stopped:
		return start, ""
	}
	return keep, ""
}

// remove takes away the owner's containers of the cluster, its network and its image volume. Volumes with other data stay.
// If they are the engine's last nodes, the kernel's tunables are set back.
func remove(ctx context.Context, e tunables.Engine, cluster, owner string) error {
	objects, err := docker.Find(ctx, e, cluster)
	if err != nil {
		return err
	}
	objects = slices.DeleteFunc(objects, func(o docker.Object) bool {
		return !o.Ours(owner) || o.Kind == docker.Volume && o.Name != imageVolume(cluster)
	})
	_, err = tunables.SetBack(ctx, []tunables.Engine{e}, func(o docker.Object) bool {
		return slices.ContainsFunc(objects, func(going docker.Object) bool { return going.ID == o.ID })
	})
	return errors.Join(err, docker.Remove(ctx, e, objects))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

func list(objects []docker.Object) string {
	var names []string
	for _, o := range objects {
		names = append(names, o.String())
	}
	return strings.Join(names, ", ")
}
