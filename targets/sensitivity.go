package targets

import (
	"context"
	"errors"

	"github.com/cedana/cedana-e2e/targets/local/sensitivity"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// Sensitivity makes the cluster, deploys, and breaks the stand-in on purpose to see whether the suite notices.
func Sensitivity(ctx context.Context) error {
	r, err := beginAlone(ctx, "sensitivity")
	if err != nil {
		return err
	}
	defer r.end()
	if r.settings.Backend != settings.BackendLocal {
		return errors.New("break the stand-in on purpose: the backend is live, and only the local one may be broken: unset CEDANA_AUTH_TOKEN, or set E2E_BACKEND=local")
	}
	r.settings.Regression = ""
	r.runsTests = true
	if err := r.ready(ctx); err != nil {
		return err
	}
	options, err := r.compiledSuite()
	if err != nil {
		return err
	}
	program, err := suite.Load(ctx, r.con, r.settings, options)
	if err != nil {
		return err
	}
	return sensitivity.Run(ctx, r.con, r.settings, sensitivity.Options{Program: program, Switch: r.misbehave})
}

// misbehave starts the propagator anew with a regression, or without. Its port and address stay what they were, so that
// nothing else has to be told; where they do not, all is deployed again.
func (r *run) misbehave(ctx context.Context, name fault.Name) error {
	if r.settings.Regression == name {
		return nil
	}
	r.settings.Regression = name
	url, inCluster := r.url, r.urlInCluster
	if err := r.propagator(ctx); err != nil {
		return err
	}
	if r.url != url || r.urlInCluster != inCluster {
		return r.deploy(ctx)
	}
	return nil
}
