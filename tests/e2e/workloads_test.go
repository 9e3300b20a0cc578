//go:build e2e

package e2e

import (
	"testing"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/tests/workloads"
)

// Programs that nobody wrote for this are each under load, checkpointed, deleted and restored. They run one after the other: what
// they take is measured.
func TestWorkloads(t *testing.T) {
	var rows []*workloads.Row
	kept := artifacts.Directory{Path: cluster.Env.Artifacts}
	for _, w := range workloads.All {
		t.Run(w.Name, func(t *testing.T) {
			s := beginAlone(t)
			image := w.Image(s.Env)
			if image == "" {
				s.Skip("needs the image of " + w.Program + ", which is made for SUITE=workloads")
			}
			row := &workloads.Row{}
			rows = append(rows, row)
			workloads.Run(s, w, image, row)
		})
		// After each: a run that is ended has those so far.
		if err := kept.Write(artifacts.WorkloadsFile, []byte(workloads.Document(rows))); err != nil {
			t.Error(err)
		}
	}
}
