package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Finish restores every checkpoint that is left, deletes everything, and looks for what remains of it.
func (r *Run) Finish() {
	r.Helper()
	r.Facts.Round = "the end"
	done := Done{
		Took: time.Since(r.begin), Taken: r.taken.Load(), Restored: r.restored.Load(), Tasks: r.tasks.Load(), Excused: r.excused.Load(),
	}
	r.Logf("%s; %d helpers were killed while they held a pod still", done, r.killedFrozen.Load())
	r.Check(r.budget.met(done))
	var all errgroup.Group
	for _, v := range r.pods {
		all.Go(func() error {
			for _, one := range v.saved {
				if err := r.restore(v, one); err != nil {
					return fmt.Errorf("restore pod %d from %s: %w", v.number, one.operation, err)
				}
			}
			return nil
		})
	}
	r.Must(all.Wait(), "restore every checkpoint that is left")
	r.check()
	for _, v := range r.pods {
		r.Must(r.remove(v.pod), "delete pod %d", v.number)
		for _, one := range v.saved {
			r.giveUp(one.operation)
		}
	}
	r.That(len(r.Present()) == 0, "no pod is left", r.Present())
	r.nothingKept()
	r.nothingRuns()
}

// Done is what the rounds of a run have done.
type Done struct {
	Took            time.Duration
	Taken, Restored int64
	// Tasks are those that were tried, Excused those that failed because of what was killed.
	Tasks, Excused int64
}

func (d Done) String() string {
	return fmt.Sprintf("%d checkpoints and %d restores were done in %s, %d of %d tasks failed because of what was killed",
		d.Taken, d.Restored, d.Took.Round(time.Second), d.Excused, d.Tasks)
}

// met is nil when a run has done enough: one in which everything fails, and is excused, shows nothing.
func (b Budget) met(d Done) error {
	least := max(int64(b.PerMinute*d.Took.Minutes()), 1)
	return fixture.First(
		fixture.Expect(d.Taken >= least, fmt.Sprintf("at least %d checkpoints are taken, %g a minute", least, b.PerMinute), d),
		fixture.Expect(d.Restored >= least, fmt.Sprintf("at least %d pods are restored, %g a minute", least, b.PerMinute), d),
		fixture.Expect(float64(d.Excused) <= b.Excused*float64(d.Tasks), fmt.Sprintf("at most %g of all tasks fail because of what was killed", b.Excused), d),
	)
}

// nothingKept checks that no checkpoint of the run is left that was not given up, and none that nobody would remove.
func (r *Run) nothingKept() {
	r.Helper()
	err := wait.For(r.Ctx, "every checkpoint of the run to be given up", stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		var kept []string
		for _, o := range r.started {
			records, err := r.System.Checkpoints(ctx, o)
			if err != nil {
				return false, "", err
			}
			missed := false
			for _, record := range records {
				if !record.Deprecated {
					missed = true
					kept = append(kept, fmt.Sprintf("%s of action %s is %s", record.ID, o, record.Word))
				}
			}
			if missed {
				r.giveUp(o)
			}
		}
		return len(kept) == 0, strings.Join(kept, ", "), nil
	})
	r.Must(err, "look for checkpoints that are left")
	if r.System.Can().Orphans {
		orphans, err := r.System.Orphans(r.Ctx)
		r.Must(err, "look for archives that are left")
		r.That(len(orphans) == 0, "every archive belongs to an action", orphans)
	}
}

// nothingRuns waits until no node has anything left of the pods that there were.
func (r *Run) nothingRuns() {
	r.Helper()
	if r.nodes == nil {
		return
	}
	list, err := r.Kube.CoreV1().Nodes().List(r.Ctx, metav1.ListOptions{})
	r.Must(err, "list nodes")
	uids := make([]string, 0, len(r.seen))
	for uid := range r.seen {
		uids = append(uids, string(uid))
	}
	for _, node := range list.Items {
		err := wait.For(r.Ctx, "nothing of the pods to be left on "+node.Name, r.budget.LeftOver, func(ctx context.Context) (bool, string, error) {
			left, err := r.nodes.Left(ctx, node.Name, uids)
			return len(left) == 0, strings.Join(left, "; "), err
		}, wait.Every(time.Second))
		r.Must(err, "look for what is left on %s", node.Name)
	}
}
