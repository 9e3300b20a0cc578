package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Registrar is the part of the propagator's client that registers clusters.
type Registrar interface {
	// CreateCluster creates or updates by name.
	CreateCluster(ctx context.Context, name string) (id string, err error)
	Clusters(ctx context.Context) ([]propagator.Cluster, error)
}

// register gives the cluster's id: the user's own, the chosen one of those registered, the one of an earlier run if the
// propagator still has it, or a new one. made is false for the first two, which are never deregistered.
func register(ctx context.Context, step *console.Step, s *settings.Settings, opts Options) (id string, made bool, err error) {
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
	name := s.RegistrationName()
	id, err = opts.Propagator.CreateCluster(ctx, name)
	if err != nil {
		return "", false, fmt.Errorf("register cluster %s: %w", name, because(ctx, err))
	}
	if id == "" {
		return "", false, fmt.Errorf("register cluster %s: the propagator gave no id", name)
	}
	if opts.Registered != nil {
		if err := opts.Registered(id, name); err != nil {
			return id, true, fmt.Errorf("remember registered cluster %s: %w", id, err)
		}
	}
	step.Note("%s is %s", name, id)
	return id, true, nil
}

// choose takes the cluster called CLUSTER_NAME, and of several the one that was synchronised last. Where CLUSTER_NAME
// was not given, any other will do: again the one that was synchronised last.
func choose(clusters []propagator.Cluster, s *settings.Settings) (propagator.Cluster, string, error) {
	var names []string
	var named []propagator.Cluster
	for _, c := range clusters {
		names = append(names, c.Name)
		if c.Name == s.ClusterName {
			named = append(named, c)
		}
	}
	newest := func(a, b propagator.Cluster) int { return lastSync(a).Compare(lastSync(b)) }
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
