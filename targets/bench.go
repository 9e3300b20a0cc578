package targets

import (
	"cmp"
	"context"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// Bench makes the cluster, deploys, and measures what a checkpoint and a restore cost, over what they cost more with.
func Bench(ctx context.Context) error {
	ctx, r, unlock, err := beginAlone(ctx, "bench")
	if err != nil {
		return err
	}
	defer unlock()
	chooseBench(&r.settings.Suite)
	return r.runTests(ctx, "mage bench")
}

// chooseBench has the suite run the series that BENCH names, unless E2E_RUN names tests.
func chooseBench(s *settings.Suite) {
	s.Tests.Suite = settings.Bench
	if s.Bench != "" {
		s.Pattern = cmp.Or(s.Pattern, "(?i)^TestBench"+s.Bench+"$")
	}
}
