// Package cluster makes and keeps the k3d cluster that the suite runs in. It is the only package that knows k3d.
//
// The k3d library is driven stage by stage instead of through its ClusterRun: that starts a tools container which
// mounts the Docker socket's path (and so makes a directory where there is no socket), leaves a temporary file behind
// for each node, and sleeps for three seconds on the way (pkg/client/cluster.go, hooks.go and
// pkg/runtimes/docker/node.go of v5.9.0). What it adds on top, the name host.k3d.internal, the nodes get when they are
// made; pods do not see it.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/docker/docker/client"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Options are what Ensure needs beside the settings.
type Options struct {
	// Host is the Docker engine's; empty means the one at hand (DOCKER_HOST, else Docker's default).
	Host string
	// Image is the node image, which must be in the engine or pullable by it.
	Image string
	// Tools is an image that stays up when it is run with the argument `noop`. k3d needs it only to find the host's
	// address on Docker Desktop and Colima. Default: k3d's own.
	Tools string
	// Images are put on every node that lacks them, while the cluster becomes usable.
	Images []Image
}

// Outcome is what Ensure did.
type Outcome string

// Created a cluster where there was none, Reused one as it was, Started the stopped nodes of one, Grown one by the
// agents that it lacked, Recreated one that was not what is wanted.
const (
	Created   Outcome = "created"
	Reused    Outcome = "reused"
	Started   Outcome = "started"
	Grown     Outcome = "grown"
	Recreated Outcome = "recreated"
)

// Cluster is a cluster that this project made.
type Cluster struct {
	Name string
	// Network is the Docker network that the nodes are in.
	Network string
	// Kubeconfig is the cluster's own file; Context is the context in it.
	Kubeconfig string
	Context    string
	// Nodes are the node containers' names, which are the Kubernetes nodes' names too: servers first, then agents.
	Nodes []string
	// Outcome is empty when the cluster was only looked up.
	Outcome Outcome

	engine   *client.Client
	settings *settings.Cluster
}

// ErrNotFound is returned by Find where there is no cluster of that name.
var ErrNotFound = errors.New("no such cluster")

// ForeignError is a cluster, or a part of one, that has the name but was not made by this project, or for another owner
// (E2E_HOME) than this one. It is never touched.
type ForeignError struct {
	Name  string
	Host  string
	Owner string
	// Objects are the containers, networks and volumes in the way.
	Objects []docker.Object
}

func (e *ForeignError) Error() string {
	if label := e.Objects[0].Labels; label[settings.DockerLabel] == "true" {
		return fmt.Sprintf("k3d cluster %s in the engine at %s is another owner's, %s, not %s of this E2E_HOME (%s): choose another CLUSTER_NAME; "+
			"if it is nobody's any more, `ALL_OWNERS=1 CLUSTER_NAME=%s go tool mage clean` removes it",
			e.Name, e.Host, cmp.Or(label[settings.DockerLabelOwner], "an earlier version"), cmp.Or(e.Owner, "that"), list(e.Objects), e.Name)
	}
	return fmt.Sprintf("k3d cluster %s in the engine at %s was not made by this project (%s without the label %s): choose another CLUSTER_NAME, or remove it with `k3d cluster delete %s`",
		e.Name, e.Host, list(e.Objects), settings.DockerLabel, e.Name)
}

// Find looks up the cluster without changing anything. Its error is [ErrNotFound] or a [*ForeignError] where that is
// the case.
func Find(ctx context.Context, s *settings.Cluster, host string) (*Cluster, error) {
	engine, err := connect(ctx, host)
	if err != nil {
		return nil, err
	}
	have, err := inspect(ctx, engine, s.ClusterName, s.Owner())
	if err != nil {
		return nil, err
	}
	if len(have.nodes) == 0 {
		return nil, fmt.Errorf("find cluster %s in the engine at %s: %w", s.ClusterName, engine.DaemonHost(), ErrNotFound)
	}
	return handle(engine, s, have), nil
}

// Ensure makes the cluster of these settings usable and returns it. A cluster of this project that is as wanted is
// taken as it is; one whose nodes are stopped is started; one that has fewer agents than wanted is given more; one that
// is half made, of another image, of more agents than E2E_AGENTS asks for, or does not become usable is made anew, and
// why is said. A cluster of the name that this project did not make is a
// [*ForeignError].
//
// Usable means: the API answers, every node is Ready, the default service account exists, the cluster's DNS resolves
// on every node, containerd on every node has the cedana runtime and the configured runc root, and the images of the options are on
// every node.
//
// ctx is the only deadline. When making the cluster fails, the nodes' logs go to the artifacts directory, their last
// lines into the error, and what was made is removed again, within seconds even when ctx has ended.
func Ensure(ctx context.Context, con *console.Console, s *settings.Cluster, o Options) (*Cluster, error) {
	if o.Image == "" {
		return nil, errors.New("make a cluster: no node image given")
	}
	engine, err := connect(ctx, o.Host)
	if err != nil {
		return nil, err
	}
	o.Host = engine.DaemonHost()
	have, err := inspect(ctx, engine, s.ClusterName, s.Owner())
	if err != nil {
		return nil, err
	}
	// Before anything is made, so that `mage clean` knows where to look whatever happens next.
	if err := state.Update(s.ClusterDir(), func(st *state.State) {
		st.Cluster, st.RunID = s.ClusterName, s.RunID
		st.UsedEngine(o.Host)
	}); err != nil {
		return nil, err
	}

	m := &maker{con: con, settings: s, options: o, engine: engine}
	todo, why := judge(have, want(s, o))
	outcome := map[action]Outcome{create: Created, keep: Reused, start: Started, grow: Grown, recreate: Recreated}[todo]
	if todo == keep || todo == start || todo == grow {
		err := m.bring(ctx, have, todo)
		if err == nil {
			return finish(ctx, engine, s, outcome)
		}
		if ctx.Err() != nil {
			return nil, err
		}
		todo, outcome, why = recreate, Recreated, err.Error()
	}
	if todo == recreate {
		con.Warn("cluster %s is made anew: %s", s.ClusterName, why)
		if err := m.save(ctx); err != nil {
			con.Warn("%v", err)
		}
		if err := con.Run(ctx, "remove cluster "+s.ClusterName, func(ctx context.Context, _ *console.Step) error {
			return remove(ctx, engine, s.ClusterName, s.Owner())
		}); err != nil {
			return nil, fmt.Errorf("make cluster %s anew: %w (next: `go tool mage clean`)", s.ClusterName, err)
		}
	}
	if err := m.make(ctx); err != nil {
		return nil, err
	}
	return finish(ctx, engine, s, outcome)
}

// Delete removes the cluster: every node, the propagator container beside them, their network, the volume of images
// and the kubeconfig file. The propagator's data, and the state file with it, stay for a next cluster of the name; it
// takes `mage clean` to remove those. Where there is no cluster it does nothing. A cluster of the name that this
// project did not make is a [*ForeignError].
func Delete(ctx context.Context, con *console.Console, s *settings.Cluster, host string) error {
	engine, err := connect(ctx, host)
	if err != nil {
		return err
	}
	if _, err := inspect(ctx, engine, s.ClusterName, s.Owner()); err != nil {
		return err
	}
	return con.Run(ctx, "delete cluster "+s.ClusterName, func(ctx context.Context, _ *console.Step) error {
		if err := remove(ctx, engine, s.ClusterName, s.Owner()); err != nil {
			return fmt.Errorf("delete cluster %s: %w", s.ClusterName, err)
		}
		return removeFile(s.Kubeconfig())
	})
}

// connectTimeout bounds the first word with an engine: a hung one would otherwise be waited for until the whole
// run's deadline.
const connectTimeout = 15 * time.Second

func connect(ctx context.Context, host string) (*client.Client, error) {
	engine, err := docker.Connect(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(connectTimeout))
	defer cancel()
	return engine, docker.Ping(ctx, engine)
}

func finish(ctx context.Context, engine *client.Client, s *settings.Cluster, outcome Outcome) (*Cluster, error) {
	have, err := inspect(ctx, engine, s.ClusterName, s.Owner())
	if err != nil {
		return nil, err
	}
	c := handle(engine, s, have)
	c.Outcome = outcome
	return c, nil
}

func handle(engine *client.Client, s *settings.Cluster, have existing) *Cluster {
	return &Cluster{
		Name: s.ClusterName, Network: networkName(s.ClusterName),
		Kubeconfig: s.Kubeconfig(), Context: s.KubeContext(), Nodes: have.names(),
		engine: engine, settings: s,
	}
}

// logsDir is where the nodes' logs of a failed or replaced cluster go.
func logsDir(s *settings.Cluster) string {
	return filepath.Join(s.Artifacts, "nodes", s.ClusterName+"-"+s.RunID)
}
