package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Registrar is the part of the propagator's client that registers clusters.
type Registrar interface {
	// CreateCluster creates or updates by name.
	CreateCluster(ctx context.Context, name string) (id string, err error)
	Clusters(ctx context.Context) ([]propagator.Cluster, error)
}

// Identity is what the cluster is at the propagator.
type Identity struct {
	ID string
	// Registered is false for an id that the user gave or that was there, which is never deregistered.
	Registered bool
}

// NoClusterError says that there is no cluster to run in: the propagator does not let this token register one, and the
// one that CLUSTER_NAME could have meant is not there either.
type NoClusterError struct {
	// Name is CLUSTER_NAME; Others are the clusters that are registered.
	Name   string
	Others []string
	// Err is the refusal.
	Err error
}

// mostNames keeps a message readable where an account has many clusters.
const mostNames = 10

func (e *NoClusterError) Error() string {
	others := "none is registered"
	if len(e.Others) > 0 {
		others = "registered are " + strings.Join(e.Others[:min(len(e.Others), mostNames)], ", ")
	}
	if more := len(e.Others) - mostNames; more > 0 {
		others += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("no cluster and no right to register one: %v; none called %s is registered either (%s): "+
		"set CLUSTER_ID to the id of a registered cluster, or to existing to take one of them, or use a token that may register", e.Err, e.Name, others)
}

func (e *NoClusterError) Unwrap() error { return e.Err }

// Register finds out or makes the cluster's identity, which needs the propagator but not the cluster. Where there is
// none to be had the error is a [*NoClusterError]. It takes at most the settings' DeployTimeout.
func Register(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options) (Identity, error) {
	opts = opts.withDefaults(s)
	ctx, cancel := within(ctx, s)
	defer cancel()
	identity, err := registerStep(ctx, con, s, opts)
	return identity, mask.New(opts.Token).Error(err)
}

// registerStep is register as a step that is shown.
func registerStep(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options) (identity Identity, err error) {
	err = con.Run(ctx, "register cluster with the propagator", func(ctx context.Context, step *console.Step) error {
		identity.ID, identity.Registered, err = register(ctx, step, s, opts)
		return err
	})
	return identity, err
}

// register gives the cluster's id: the user's own, the chosen one of those registered, the one of an earlier run if the
// propagator still has it, or a new one; where a new one is refused, the one called CLUSTER_NAME. made says that it was
// registered here, now or earlier: others are never deregistered.
func register(ctx context.Context, step *console.Step, s *settings.Deploy, opts Options) (id string, made bool, err error) {
	if s.ClusterID != "" {
		step.Note("CLUSTER_ID=%s, as given", s.ClusterID)
		return s.ClusterID, false, nil
	}
	if opts.Propagator == nil {
		return "", false, errors.New("register cluster: no propagator is given, and no CLUSTER_ID")
	}
	if s.ChooseCluster {
		clusters, err := opts.Propagator.Clusters(ctx)
		if err != nil {
			return "", false, fmt.Errorf("look for a registered cluster: %w", because(ctx, err))
		}
		chosen, why, err := choose(clusters, s)
		if err != nil {
			return "", false, err
		}
		step.Note("%s (%s), %s", chosen.Name, chosen.ID, why)
		return chosen.ID, false, nil
	}
	if opts.ClusterID != "" {
		clusters, err := opts.Propagator.Clusters(ctx)
		if err != nil {
			return "", false, fmt.Errorf("look for registered cluster %s: %w", opts.ClusterID, because(ctx, err))
		}
		if slices.ContainsFunc(clusters, func(c propagator.Cluster) bool { return c.ID == opts.ClusterID }) {
			step.Note("%s, as before", opts.ClusterID)
			return opts.ClusterID, true, nil
		}
	}
	name := cmp.Or(opts.Registering, s.RegistrationName(time.Now()))
	if err := remember(opts.Registered, "", name); err != nil {
		return "", false, err
	}
	id, err = opts.Propagator.CreateCluster(ctx, name)
	if propagator.IsRefused(err) {
		if err := remember(opts.Refused, "", name); err != nil {
			return "", false, err
		}
		return insteadOf(ctx, step, s, opts.Propagator, fmt.Errorf("register cluster %s: %w", name, err))
	}
	if err != nil {
		return "", false, fmt.Errorf("register cluster %s: %w", name, because(ctx, err))
	}
	if id == "" {
		return "", false, fmt.Errorf("register cluster %s: the propagator gave no id", name)
	}
	if err := remember(opts.Registered, id, name); err != nil {
		return id, true, err
	}
	step.Note("%s is %s", name, id)
	return id, true, nil
}

func remember(how func(id, name string) error, id, name string) error {
	if how == nil {
		return nil
	}
	if err := how(id, name); err != nil {
		return fmt.Errorf("remember registered cluster %s: %w", cmp.Or(id, name), err)
	}
	return nil
}

// insteadOf takes the cluster called CLUSTER_NAME where registering one was refused. Any other might be somebody's own,
// with pods in it: that takes a word of the user's (CLUSTER_ID=existing).
func insteadOf(ctx context.Context, step *console.Step, s *settings.Deploy, api Registrar, refusal error) (id string, made bool, err error) {
	clusters, err := api.Clusters(ctx)
	if err != nil && !propagator.IsForbidden(err) {
		// Not the right to register is missing, but the token is bad or the propagator fails.
		return "", false, errors.Join(refusal, fmt.Errorf("look for a registered cluster: %w", because(ctx, err)))
	}
	named, others := byName(clusters, s.ClusterName)
	if len(named) == 0 {
		return "", false, &NoClusterError{Name: s.ClusterName, Others: others, Err: refusal}
	}
	chosen := slices.MaxFunc(named, newest)
	step.Note("%s (%s), by its name: this token may not register another", chosen.Name, chosen.ID)
	return chosen.ID, false, nil
}

// byName are the clusters of that name, and the names of all.
func byName(clusters []propagator.Cluster, name string) (named []propagator.Cluster, names []string) {
	for _, c := range clusters {
		names = append(names, c.Name)
		if c.Name == name {
			named = append(named, c)
		}
	}
	return named, names
}

// newest compares by the last synchronisation.
func newest(a, b propagator.Cluster) int { return lastSync(a).Compare(lastSync(b)) }

// choose takes the cluster called CLUSTER_NAME, and of several the one that was synchronised last. Where CLUSTER_NAME
// was not given, any other will do: again the one that was synchronised last.
func choose(clusters []propagator.Cluster, s *settings.Deploy) (propagator.Cluster, string, error) {
	named, names := byName(clusters, s.ClusterName)
	switch {
	case len(named) > 0:
		return slices.MaxFunc(named, newest), "by its name", nil
	case len(clusters) == 0:
		return propagator.Cluster{}, "", errors.New("choose a registered cluster (CLUSTER_ID=existing): there is none; without CLUSTER_ID one is registered")
	case s.ClusterChosen:
		return propagator.Cluster{}, "", fmt.Errorf("choose a registered cluster (CLUSTER_ID=existing): none is called %s; there are %s",
			s.ClusterName, strings.Join(names, ", "))
	}
	return slices.MaxFunc(clusters, newest), "which was synchronised last", nil
}

func lastSync(c propagator.Cluster) time.Time {
	if c.LastSync == nil {
		return time.Time{}
	}
	return *c.LastSync
}
