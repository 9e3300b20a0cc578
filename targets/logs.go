package targets

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/platform"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// Logs collects what the cluster of these settings has to tell into the artifacts directory, and prints where. It
// changes nothing in the cluster.
func Logs(ctx context.Context) error {
	r, err := begin()
	if err != nil {
		return err
	}
	var found there
	if found.cluster, err = r.platform.Clusters.Find(ctx); err != nil {
		return err
	}
	if found.propagator, err = r.platform.Propagator.Find(ctx); err != nil && !errors.Is(err, platform.ErrNoPropagator) {
		return err
	}
	if err := suite.Collect(ctx, r.con, &r.settings.Suite, r.suiteOptions(&found)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.con.Data(), filepath.Join(r.settings.Artifacts, suite.FailureDir))
	return err
}
