package suite

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// rerun runs the red tests again, to tell those that are red every time from those that are not. Nothing becomes green by it.
func (r *Report) rerun(ctx context.Context, con *console.Console, s *settings.Suite, p *Program) error {
	red := r.Of(report.Failed)
	if len(red) == 0 || s.Reruns == 0 {
		return nil
	}
	return r.Phase("run the red tests again", func() error {
		return con.Run(ctx, fmt.Sprintf("run the red tests again %d times (E2E_RERUN): they stay red", s.Reruns), func(ctx context.Context, _ *console.Step) error {
			for i := range s.Reruns {
				again, err := p.Run(ctx, Pick{Tests: names(red), Limit: s.Timeout, Change: func(f *settings.TestFile) {
					// Names of their own: a namespace that is going cannot be made again.
					f.RunID = fmt.Sprintf("%sr%d", s.RunID[:min(8, len(s.RunID))], i)
					f.Artifacts = filepath.Join(f.Artifacts, "reruns", fmt.Sprint(i+1))
				}})
				if err != nil {
					return fmt.Errorf("run the red tests again: %w", err)
				}
				for _, t := range red {
					t.Reruns++
					if slices.Contains(names(again.Of(report.Passed)), t.Name) {
						t.RerunsPassed++
					}
				}
			}
			return nil
		})
	})
}
