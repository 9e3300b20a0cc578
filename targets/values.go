package targets

import (
	"context"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/platform"
)

// Values prints the values that deploy would give to the chart. It needs no cluster, and changes nothing.
func Values(_ context.Context) error {
	con := console.Standard()
	s, err := platform.Load()
	if err != nil {
		return err
	}
	planned, err := platform.New(con, s).Propagator.Planned()
	if err != nil {
		return err
	}
	return deploy.PrintValues(con, &s.Deploy, planned)
}
