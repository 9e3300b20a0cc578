package targets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/listing"
	"github.com/cedana/cedana-e2e/targets/platform"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/targets/sweep"
)

// ask does something with the propagator that an earlier run left, or with the live one.
func ask(ctx context.Context, within time.Duration, do func(context.Context, *console.Console, *propagator.Client, *platform.Settings) error) error {
	con := console.Standard()
	s, err := platform.Load()
	if err != nil {
		return err
	}
	within = stretch.Limit(within)
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %s", within))
	defer cancel()
	found, err := platform.New(con, s).Propagator.Find(ctx)
	if err != nil {
		return err
	}
	defer found.API.Close()
	return do(ctx, con, found.API, s)
}

// ListCheckpoints prints the checkpoints that the propagator has.
func ListCheckpoints(ctx context.Context) error {
	return ask(ctx, settings.RequestsTimeout, func(ctx context.Context, con *console.Console, api *propagator.Client, s *platform.Settings) error {
		return listing.Checkpoints(ctx, con, api, &s.Listing)
	})
}

// ListActions prints the actions that the propagator has.
func ListActions(ctx context.Context) error {
	return ask(ctx, settings.RequestsTimeout, func(ctx context.Context, con *console.Console, api *propagator.Client, s *platform.Settings) error {
		return listing.Actions(ctx, con, api, &s.Listing)
	})
}

// ListClusters prints the clusters that the propagator has.
func ListClusters(ctx context.Context) error {
	return ask(ctx, settings.RequestsTimeout, func(ctx context.Context, con *console.Console, api *propagator.Client, s *platform.Settings) error {
		return listing.Clusters(ctx, con, api, &s.Listing)
	})
}

// Deprecate gives up the checkpoints of CHECKPOINT_ID. One that cannot be does not keep the others from it.
func Deprecate(ctx context.Context) error {
	return ask(ctx, settings.RequestsTimeout, func(ctx context.Context, con *console.Console, api *propagator.Client, s *platform.Settings) error {
		if len(s.Deprecate.CheckpointIDs) == 0 {
			return settings.Problems{{
				Name: "CHECKPOINT_ID", Reason: "must be set to the checkpoints to deprecate, comma-separated; listCheckpoints shows them",
				Example: "0b8f2a4e-6d1c-4e5f-9a7b-3c2d1e0f9a8b",
			}}
		}
		var failed []error
		for _, id := range s.Deprecate.CheckpointIDs {
			if err := api.Deprecate(ctx, id); err != nil {
				failed = append(failed, fmt.Errorf("deprecate checkpoint %s: %w", id, err))
				continue
			}
			con.Ok("deprecated checkpoint %s", id)
		}
		return errors.Join(failed...)
	})
}

// Sweep removes what runs have left at the propagator: clusters and checkpoints that bear our names and are older than
// a day.
func Sweep(ctx context.Context) error {
	return ask(ctx, settings.SweepTimeout, func(ctx context.Context, con *console.Console, api *propagator.Client, s *platform.Settings) error {
		return sweep.Run(ctx, con, api, &s.Sweep, time.Now())
	})
}
