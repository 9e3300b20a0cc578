package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// The pod of an action may have secrets in its spec.
func TestAnActionIsForgottenByAgeAndByCountWithItsPodUnlessItCanBeRestored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Config)
		later  time.Duration
		gone   bool
	}{
		"young and few": {func(*Config) {}, 2 * time.Hour, false},
		"old":           {func(c *Config) { c.HistoryAge = time.Hour }, 2 * time.Hour, true},
		"too many":      {func(c *Config) { c.HistoryCount = 1 }, 2 * time.Hour, true},
		"not swept yet": {func(c *Config) { c.HistoryCount = 1 }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, c.change)
			cluster := r.pod("c", "uid")
			live, used, old := r.checkpoint(cluster, "uid"), r.checkpoint(cluster, "uid"), r.checkpoint(cluster, "uid")
			restore := r.restore(cluster, used)
			newest := r.checkpoint(cluster, "uid")
			for _, id := range []string{used, old} {
				require.NoError(t, r.client.Deprecate(t.Context(), r.row(id).ID))
			}
			require.NoError(t, r.server.forgetHistory(time.Now().Add(c.later)))
			r.view(func(tx *store.Tx) {
				for id, want := range map[string]bool{live: true, used: true, restore: true, newest: true, old: !c.gone} {
					_, action, err := tx.Actions.Get(id)
					require.NoError(t, err)
					_, pod, err := tx.Specs.Get(id)
					require.NoError(t, err)
					rows, err := tx.Checkpoints.Where("", func(row store.Checkpoint) bool { return row.ActionID == id })
					require.NoError(t, err)
					assert.Equal(t, want, action)
					assert.Equal(t, want, pod)
					assert.Equal(t, want && id != restore, len(rows) > 0)
				}
			})
			if c.gone {
				_, err := r.client.Action(t.Context(), old)
				require.True(t, propagator.IsNotFound(err), "%v", err)
			}
		})
	}
}
