package targets

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// compilation compiles the tests beside other stages.
type compilation struct {
	// begin begins it, and does nothing when that was done.
	begin func()
	// program waits for the tests.
	program func() (*suite.Compiled, error)
	// end ends it, for a run that fails before the tests.
	end func()
}

func (r *run) tests(ctx context.Context) compilation {
	ctx, cancel := context.WithCancel(ctx)
	var work errgroup.Group
	var compiled *suite.Compiled
	return compilation{
		begin: sync.OnceFunc(func() {
			work.Go(func() (err error) {
				compiled, err = suite.Compile(ctx, r.con, &r.settings.Suite, ".")
				return err
			})
		}),
		program: func() (*suite.Compiled, error) {
			err := work.Wait()
			return compiled, err
		},
		end: func() {
			cancel()
			_ = work.Wait() // either it was waited for, or the run has failed already
		},
	}
}

// suiteOptions are for a suite that runs against what is there, as far as it is.
func (r *run) suiteOptions(there *there) suite.Options {
	c := there.cluster
	o := suite.Options{
		Versions: c.Versions, ClusterName: c.Name, Kubeconfig: c.Kubeconfig, Context: c.Context, Nginx: c.Nginx, Counter: c.Counter, Programs: c.Programs, Record: r.record, Contract: r.contract,
	}
	if there.identity != nil {
		o.ClusterID, o.Registered = there.identity.ID, there.identity.Registered
	}
	if to := there.propagator; to != nil {
		o.URL, o.Token, o.Subject = to.URL, to.Token, to.Subject
	}
	o.Sources = append(c.Logs[:len(c.Logs):len(c.Logs)], r.platform.Cedana.Logs(c, o.Token)...)
	if there.propagator != nil {
		o.Sources = append(o.Sources, there.propagator.Logs...)
	}
	return o
}

// withTests is suiteOptions with the compiled tests.
func (r *run) withTests(there *there, tests compilation) (suite.Options, error) {
	o := r.suiteOptions(there)
	err := r.record.Phase("wait for the compiled tests", func() (err error) {
		o.Compiled, err = tests.program()
		return err
	})
	return o, err
}

// withoutCluster is for a suite that has no cluster to run in.
func (r *run) withoutCluster(why *deploy.NoClusterError) suite.Options {
	return suite.Options{NoCluster: why.Error(), Record: r.record, Contract: r.contract}
}
