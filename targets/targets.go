// Package targets is what the Mage targets do: it ties the packages below it together and holds no logic of its own.
package targets

import (
	"context"
	"fmt"
)

// E2E makes the cluster, deploys and runs the suite; what is there already is reused.
func E2E(ctx context.Context) error {
	r, err := beginAlone(ctx, "e2e")
	if err != nil {
		return err
	}
	defer r.end()
	r.runsTests = true
	err = r.ready(ctx)
	if r.noCluster != nil {
		r.con.Warn("%v", r.noCluster)
		r.con.Warn("nothing is made or deployed: the tests that need no pods run, the others are skipped")
	} else if err != nil {
		return err
	}
	return r.suite(ctx)
}

// Cluster makes the cluster usable and prints its kubeconfig file to stdout.
func Cluster(ctx context.Context) error {
	r, err := beginAlone(ctx, "cluster")
	if err != nil {
		return err
	}
	defer r.end()
	if err := r.preflight(ctx); err != nil {
		return err
	}
	if err := r.cluster(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.con.Data(), r.made.Kubeconfig)
	return err
}

// Deploy makes the cluster usable and Cedana ready in it.
func Deploy(ctx context.Context) error {
	r, err := beginAlone(ctx, "deploy")
	if err != nil {
		return err
	}
	defer r.end()
	return r.ready(ctx)
}
