// Package deploy puts Cedana, or the local stand-in for it, into a cluster: it registers the cluster with the
// propagator, installs or upgrades the chart, and waits until every pod of the release is ready. It is the only
// package that imports Helm.
package deploy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// ReleaseName is the name of the Helm release, as Cedana's own suite calls it.
const ReleaseName = "cedana"

// Image is an image by repository and tag. The chart's own image is used where Repository is empty.
type Image struct {
	Repository string
	Tag        string
}

// Options is what a deployment needs beside the settings.
type Options struct {
	// Kubeconfig and Context default to the settings' own cluster. The ambient ones are never used.
	Kubeconfig string
	Context    string
	// Chart has the files of the chart that is installed where HELM_CHART is not set. Default: the published chart.
	Chart fs.FS
	// OursOnly refuses to change a release that this project did not make: the cluster is not ours, and it is in use.
	OursOnly bool
	// Layers are the files of charts-values over base.yaml, for the backend and the cluster; the last wins.
	Layers []string
	// Propagator registers the cluster.
	Propagator Registrar
	// URLInCluster is the propagator's address as pods reach it. Default: the settings' URL.
	URLInCluster string
	// Token is what the cluster's pods authenticate with. It is handed to Helm in memory, and ends up in the release's
	// own Secret and the chart's. Default: the settings' token.
	Token settings.Secret
	// ClusterID is the id that an earlier run registered, if any.
	ClusterID string
	// Registering is the name by which an earlier run registered it and was killed before it had the id.
	Registering string
	// Registered is called with the name before a cluster is registered, and again with its id as soon as there is one, so
	// that a clean-up can deregister it whenever the run is killed. Refused is called where it was not registered.
	Registered, Refused func(id, name string) error
	// Identity is what Register has found; without it Run does the same.
	Identity *Identity
	// Checked is what Check has found; without it Run does the same first.
	Checked *Checked
	// Helper and Manager replace the chart's images.
	Helper  Image
	Manager Image
	// RegistryUser and RegistryPassword are for a chart in a private registry. Default: the settings', else what Helm
	// and Docker know.
	RegistryUser     string
	RegistryPassword settings.Secret
	// RegistryConfig is a file with logins. Default: the settings', else Helm's own.
	RegistryConfig string
	// RegistryTLS is for a registry with a certificate that the system does not know.
	RegistryTLS *tls.Config
}

func (o Options) withDefaults(s *settings.Deploy) Options {
	if o.Kubeconfig == "" {
		o.Kubeconfig = s.Kubeconfig()
	}
	if o.Context == "" {
		o.Context = s.KubeContext()
	}
	if !o.Token.Set() {
		o.Token = s.Token
	}
	if o.RegistryUser == "" {
		o.RegistryUser, o.RegistryPassword = s.RegistryUser, s.RegistryPassword
	}
	if o.RegistryConfig == "" {
		o.RegistryConfig = s.RegistryConfig
	}
	return o
}

// Result says what a deployment did.
type Result struct {
	Identity
	// Outcome of the release, its revision, and the chart's name and version.
	Outcome  Outcome
	Revision int
	Chart    string
}

// Run deploys and returns when every pod of the release is ready. A second run with the same inputs changes nothing.
// It takes at most the settings' DeployTimeout. Whatever can be checked is checked before anything is created.
func Run(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options) (Result, error) {
	opts = opts.withDefaults(s)
	mask := mask.New(opts.Token, opts.RegistryPassword)
	result, err := run(ctx, con, s, opts, mask)
	return result, mask.Error(err)
}

func run(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options, mask mask.Mask) (Result, error) {
	ctx, cancel := within(ctx, s)
	defer cancel()

	checked := opts.Checked
	if checked == nil {
		var err error
		if checked, err = prepare(ctx, con, s, opts); err != nil {
			return Result{}, err
		}
	}
	chart := checked.chart
	loader, err := loadConfig(opts.Kubeconfig, opts.Context, s.CedanaNamespace)
	if err != nil {
		return Result{}, err
	}
	cluster, err := connect(ctx, loader)
	if err != nil {
		return Result{}, err
	}

	var result Result
	if opts.Identity != nil {
		result.Identity = *opts.Identity
	} else if result.Identity, err = registerStep(ctx, con, s, opts); err != nil {
		return result, err
	}
	all, err := layers(s, opts, result.ID)
	if err != nil {
		return result, err
	}

	var applied *release.Release
	if err := con.Run(ctx, "install Cedana with Helm", func(ctx context.Context, step *console.Step) error {
		cfg, err := cluster.helm(s.CedanaNamespace, func(format string, args ...any) {
			step.Set("%s", mask.Text(fmt.Sprintf(format, args...)))
		})
		if err != nil {
			return err
		}
		r := releaser{cfg: cfg, client: cluster.client, con: con, namespace: s.CedanaNamespace, labels: labels(s), oursOnly: opts.OursOnly}
		applied, result.Outcome, err = r.apply(ctx, step, chart, merged(all))
		if err != nil {
			return err
		}
		result.Revision = applied.Version
		result.Chart = chart.Metadata.Name + " " + chart.Metadata.Version
		step.Note("%s, revision %d of %s", result.Outcome, result.Revision, result.Chart)
		return nil
	}); err != nil {
		return result, err
	}

	g := gate{client: cluster.client, namespace: s.CedanaNamespace, instance: ReleaseName, mask: mask, poll: pollInterval}
	if g.workloads, err = workloads(applied.Manifest, s.CedanaNamespace); err != nil {
		return result, err
	}
	return result, con.Run(ctx, "wait until Cedana's pods are ready", g.wait)
}

// within bounds a deployment.
func within(ctx context.Context, s *settings.Deploy) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("no success within E2E_DEPLOY_TIMEOUT=%s", s.Timeout))
}

// checkTimeout bounds Check: a chart is small, and a registry that does not answer is known sooner.
const checkTimeout = time.Minute

// Checked is a chart that was found, together with values that it knows.
type Checked struct{ chart *chart.Chart }

// Check does all of Run that needs neither the cluster nor the propagator: it finds and reads the chart, from a
// registry if need be, and reads the values. It creates nothing, so a run that cannot be deployed ends here.
func Check(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options) (*Checked, error) {
	opts = opts.withDefaults(s)
	ctx, cancel := context.WithTimeoutCause(ctx, stretch.Limit(checkTimeout), fmt.Errorf("no chart within %s", stretch.Limit(checkTimeout)))
	defer cancel()
	checked, err := prepare(ctx, con, s, opts)
	return checked, mask.New(opts.Token, opts.RegistryPassword).Error(err)
}

func prepare(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options) (*Checked, error) {
	ref, err := resolveChart(s.HelmChart, opts.Chart)
	if err != nil {
		return nil, err
	}
	all, err := layers(s, opts, s.ClusterID)
	if err != nil {
		return nil, err
	}
	var loaded *chart.Chart
	load := func(ctx context.Context, _ *console.Step) error {
		loaded, err = loadChart(ctx, ref, opts)
		return err
	}
	if ref.remote() {
		err = con.Run(ctx, "fetch chart "+ref.String(), load)
	} else {
		err = load(ctx, nil)
	}
	if err != nil {
		return nil, err
	}
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return nil, fmt.Errorf("use chart %s: it is of type %s, which cannot be installed", ref, kind)
	}
	if err := unknownKeys(loaded, all); err != nil {
		return nil, err
	}
	return &Checked{loaded}, nil
}

func labels(s *settings.Deploy) map[string]string {
	return map[string]string{settings.KubernetesLabelManaged: settings.ManagedBy, settings.KubernetesLabelRun: s.RunID}
}

// remaining is the time that ctx leaves, for Helm, which takes a duration and reads zero as none at all.
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return max(time.Until(deadline), time.Second)
}

// because is the reason ctx ended for, if it did; otherwise err.
func because(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
}
