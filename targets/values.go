package targets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/local/chart"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// inTheRun stands for a value that only a run knows, because it is made or chosen in it.
const inTheRun = "known-in-the-run"

// Values prints the values that deploy would give to the chart. It needs no cluster, and changes nothing.
func Values(ctx context.Context) error {
	con := console.Standard()
	s, err := settings.Load(ctx)
	if err != nil {
		return err
	}
	o := deploy.Options{ClusterID: inTheRun}
	if s.Backend == settings.BackendLocal {
		picture := deploy.Image{Repository: "cedana-e2e.local/cedana", Tag: inTheRun}
		o.Chart, o.URLInCluster, o.Token, o.Helper, o.Manager = chart.Files, "http://"+inTheRun, "made-in-the-run", picture, picture
	} else {
		st, err := state.Load(s.ClusterDir())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for a registered cluster: %w", err)
		}
		if st != nil && st.RegisteredAt(s.URL) != "" {
			o.ClusterID = st.RegisteredAt(s.URL)
		}
	}
	return deploy.PrintValues(con, s, o)
}
