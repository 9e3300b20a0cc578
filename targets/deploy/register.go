package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// register gives the cluster's id: the user's own, the one of an earlier run if the propagator still has it, or a new
// one under CLUSTER_NAME. made is false for the user's own.
func register(ctx context.Context, step *console.Step, s *settings.Settings, opts Options) (id string, made bool, err error) {
	if s.ClusterID != "" {
		step.Note("CLUSTER_ID=%s, as given", s.ClusterID)
		return s.ClusterID, false, nil
	}
	if opts.Propagator == nil {
		return "", false, errors.New("register cluster: no propagator is given, and no CLUSTER_ID")
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
	id, err = opts.Propagator.CreateCluster(ctx, s.ClusterName)
	if err != nil {
		return "", false, fmt.Errorf("register cluster %s: %w", s.ClusterName, because(ctx, err))
	}
	if id == "" {
		return "", false, fmt.Errorf("register cluster %s: the propagator gave no id", s.ClusterName)
	}
	if opts.Registered != nil {
		if err := opts.Registered(id); err != nil {
			return id, true, fmt.Errorf("remember registered cluster %s: %w", id, err)
		}
	}
	step.Note("%s is %s", s.ClusterName, id)
	return id, true, nil
}
