// Package platform is what differs between the places that a run can be in: a k3d cluster or one that exists, the local
// propagator or a live one, Cedana installed by this run or before it. Nothing outside this package asks which it is.
//
// The three are chosen apart ([New]), because every combination but one makes sense: the local propagator wants a k3d
// cluster, which the settings check.
package platform

import (
	"context"
	"errors"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// Platform is where a run takes the three things from that it needs.
type Platform struct {
	Clusters   Clusters
	Propagator Propagator
	Cedana     Cedana
}

// Clusters is where the cluster comes from.
type Clusters interface {
	// Make makes the cluster usable. linking may be nil; it is called when compiling leaves a processor idle.
	Make(ctx context.Context, linking func()) (*Cluster, error)
	// Find looks up a cluster that an earlier run used, and changes nothing.
	Find(ctx context.Context) (*Cluster, error)
	// Check says whether this machine has what Make needs.
	Check(ctx context.Context) []Finding
}

// Propagator is where the propagator comes from.
type Propagator interface {
	// Preflight speaks to the propagator before there is a cluster. It returns nil where there is none yet.
	Preflight(ctx context.Context) (*Connection, error)
	// Connect speaks to the propagator once there is a cluster. early is what Preflight has returned.
	Connect(ctx context.Context, c *Cluster, early *Connection) (*Connection, error)
	// Find returns the propagator that an earlier run used, and changes nothing. The error is [ErrNoPropagator] where
	// there is none.
	Find(ctx context.Context) (*Connection, error)
	// Planned are a deployment's options as far as they are known before a run; what only a run knows has a placeholder.
	Planned() (deploy.Options, error)
	// Check says whether the propagator can be used.
	Check(ctx context.Context) []Finding
}

// inTheRun stands for a value that only a run knows, because it is made or chosen in it.
const inTheRun = "known-in-the-run"

// ErrNoPropagator is returned where no propagator can be found.
var ErrNoPropagator = errors.New("no propagator")

// Cedana is how Cedana comes into the cluster.
type Cedana interface {
	// Check finds out whether there is such a chart and whether it knows the values. It returns nil where no chart is
	// wanted.
	Check(ctx context.Context, planned deploy.Options) (*deploy.Checked, error)
	// Register gives the cluster an identity before it is made. It returns nil where that is not possible or not wanted.
	// Where there is no cluster to be had, and no right to register one, the error is a [*deploy.NoClusterError].
	Register(ctx context.Context, early *Connection) (*deploy.Identity, error)
	// Hold keeps other runs away from the cluster's Cedana, as far as this one changes it, until release is called. lost is
	// called where that cannot be kept up.
	Hold(ctx context.Context, c *Cluster, lost func(error)) (release func() error, err error)
	// Install returns when Cedana is ready. checked and identity are what Check and Register have returned.
	Install(ctx context.Context, c *Cluster, to *Connection, checked *deploy.Checked, identity *deploy.Identity) (*deploy.Identity, error)
	// Logs are what is to be kept of the installation after a failure.
	Logs(c *Cluster, token settings.Secret) []suite.Source
}

// Cluster is a usable cluster.
type Cluster struct {
	Kubeconfig, Context string
	// Name is the k3d cluster's; empty where the nodes are not ours to stop.
	Name string
	// Nginx and Counter are the images of the pods under test. Counter is empty where there is none.
	Nginx, Counter string
	// Programs are the images of programs that the nodes were given, by name.
	Programs map[string]string
	// Logs are what is to be kept of the cluster after a failure.
	Logs []suite.Source
	// Versions are those of its nodes' programs; nil where the nodes are not ours to look into.
	Versions func(ctx context.Context) ([]report.Fact, error)

	// made is how the cluster was made, for the local propagator beside it; nil for one that exists.
	made *made
}

func (c *Cluster) target() deploy.Options {
	return deploy.Options{Kubeconfig: c.Kubeconfig, Context: c.Context, OursOnly: c.Name == ""}
}

// Connection is a propagator that answers.
type Connection struct {
	API   *propagator.Client
	URL   string
	Token settings.Secret
	// User is who the propagator says that the token's user is; empty where it was not asked.
	User string
	// Subject is what is tested with it.
	Subject suite.Subject
	// Logs are what is to be kept of it after a failure.
	Logs []suite.Source

	// chart is what the chart has to be told of it.
	chart deploy.Options
}

// Finding is one line of `mage doctor`.
type Finding struct {
	Name   string
	OK     bool
	Detail string
	// Remedy is what to do where it is not OK.
	Remedy string
}

// New chooses by the settings. The options are for its clients of the propagator.
func New(con *console.Console, s *Settings, client ...propagator.Option) Platform {
	var p Platform
	switch s.Backend {
	case settings.BackendLocal:
		p.Propagator = newStandIn(con, s, client)
	default:
		layers := []string{"live.yaml"}
		if s.Cluster.Agents > 0 || s.Existing != nil {
			layers = append(layers, "nodes.yaml")
		}
		p.Propagator = &live{con: con, settings: &s.Deploy, client: client, layers: layers}
	}
	p.Clusters = &k3d{con: con, settings: &s.Cluster, lab: newLab(con, s), standIn: s.Backend == settings.BackendLocal}
	if s.Existing != nil {
		p.Clusters = &existing{con: con, settings: &s.Settings}
	}
	p.Cedana = &helm{con: con, settings: &s.Deploy}
	if s.Deploy.SkipHelm {
		p.Cedana = &installed{con: con, settings: &s.Deploy}
	}
	return p
}
