package targets

import (
	"context"

	"github.com/cedana/cedana-e2e/targets/cleanup"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/platform"
)

// Clean removes everything any run made, in the system's engine and in the private one.
func Clean(ctx context.Context) error {
	con := console.Standard()
	s, err := platform.Load()
	if err != nil {
		return err
	}
	return cleanup.Run(ctx, con, &s.Cleanup, platform.Cleanup(con, s))
}
