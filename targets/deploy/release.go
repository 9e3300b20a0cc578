package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Outcome is what was done to the release.
type Outcome string

// The outcomes.
const (
	Installed Outcome = "installed"
	Upgraded  Outcome = "upgraded"
	Unchanged Outcome = "unchanged"
)

// maxHistory is how many revisions Helm keeps, the default of its command line.
const maxHistory = 10

// releaser brings the release to a chart and values, whatever state it was left in.
type releaser struct {
	cfg       *action.Configuration
	client    kubernetes.Interface
	con       *console.Console
	namespace string
	labels    map[string]string
	// oursOnly refuses a release that this project did not make: in a cluster that is not ours either, it is in use.
	oursOnly bool
}

func (r releaser) apply(ctx context.Context, step *console.Step, c *chart.Chart, values map[string]any) (*release.Release, Outcome, error) {
	last, err := r.cfg.Releases.Last(ReleaseName)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return r.install(ctx, step, c, values, false)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read release %s in namespace %s: %w", ReleaseName, r.namespace, because(ctx, err))
	}
	if r.oursOnly && last.Labels[settings.KubernetesLabelManaged] != settings.ManagedBy {
		return nil, "", fmt.Errorf("use release %s in namespace %s: it was not made by this project (it lacks the label %s), so it is left as it is: SKIP_HELM=1 tests it",
			ReleaseName, r.namespace, settings.KubernetesLabelManaged)
	}
	switch status := last.Info.Status; status {
	case release.StatusDeployed:
		unchanged, err := r.unchanged(last, c, values)
		if err != nil {
			return nil, "", err
		}
		if unchanged {
			return last, Unchanged, nil
		}
	case release.StatusPendingInstall, release.StatusUninstalling:
		// Nothing of it was ever in use, so nothing is lost; an upgrade could stumble over what is half there.
		r.con.Warn("release %s is %s since %s: an earlier run was killed; removing it and installing anew",
			ReleaseName, status, since(last))
		if err := r.uninstall(ctx); err != nil {
			return nil, "", err
		}
		return r.install(ctx, step, c, values, false)
	case release.StatusPendingUpgrade, release.StatusPendingRollback:
		// Helm refuses a release that is pending. The upgrade that follows goes from the last deployed revision and
		// what is really in the cluster to the new one, so a rollback before it would only restart pods once more.
		r.con.Warn("revision %d of release %s is %s since %s: an earlier run was killed; marking it failed and upgrading again",
			last.Version, ReleaseName, status, since(last))
		last.SetStatus(release.StatusFailed, fmt.Sprintf("was %s when its run was killed", status))
		if err := r.cfg.Releases.Update(last); err != nil {
			return nil, "", fmt.Errorf("mark revision %d of release %s as failed: %w", last.Version, ReleaseName, err)
		}
	case release.StatusFailed:
		r.con.Step("revision %d of release %s had failed (%s); upgrading again", last.Version, ReleaseName, firstLine(last.Info.Description))
	case release.StatusUninstalled:
		return r.install(ctx, step, c, values, true)
	}
	return r.upgrade(ctx, c, values)
}

func (r releaser) install(ctx context.Context, step *console.Step, c *chart.Chart, values map[string]any, replace bool) (*release.Release, Outcome, error) {
	if err := r.ensureNamespace(ctx, step); err != nil {
		return nil, "", err
	}
	in := action.NewInstall(r.cfg)
	in.ReleaseName = ReleaseName
	in.Namespace = r.namespace
	in.Replace = replace
	in.Labels = r.labels
	in.Timeout = remaining(ctx)
	installed, err := in.RunWithContext(ctx, c, values)
	if err != nil {
		return nil, "", fmt.Errorf("install chart %s as release %s in namespace %s: %w", c.Metadata.Name, ReleaseName, r.namespace, because(ctx, err))
	}
	return installed, Installed, nil
}

func (r releaser) upgrade(ctx context.Context, c *chart.Chart, values map[string]any) (*release.Release, Outcome, error) {
	up := action.NewUpgrade(r.cfg)
	up.Namespace = r.namespace
	up.ResetValues = true
	up.MaxHistory = maxHistory
	up.Labels = r.labels
	up.Timeout = remaining(ctx)
	upgraded, err := up.RunWithContext(ctx, ReleaseName, c, values)
	if err != nil {
		return nil, "", fmt.Errorf("upgrade release %s in namespace %s to chart %s: %w", ReleaseName, r.namespace, c.Metadata.Name, because(ctx, err))
	}
	return upgraded, Upgraded, nil
}

// uninstall removes the release, whatever there is of it. Hooks are left out: those of Cedana's chart
// delete the whole namespace.
func (r releaser) uninstall(ctx context.Context) error {
	un := action.NewUninstall(r.cfg)
	un.DisableHooks = true
	un.IgnoreNotFound = true
	un.DeletionPropagation = "background"
	un.Timeout = remaining(ctx)
	if _, err := un.Run(ReleaseName); err != nil {
		return fmt.Errorf("remove release %s in namespace %s: %w", ReleaseName, r.namespace, because(ctx, err))
	}
	return nil
}

// ensureNamespace makes the namespace, with the run's labels. One that is being deleted, by a clean-up that has just
// run or by the chart's own uninstaller, is waited for: nothing can be created in it.
func (r releaser) ensureNamespace(ctx context.Context, step *console.Step) error {
	namespaces := r.client.CoreV1().Namespaces()
	for {
		ns, err := namespaces.Get(ctx, r.namespace, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			ns = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace, Labels: r.labels}}
			_, err = namespaces.Create(ctx, ns, metav1.CreateOptions{})
			if err == nil {
				return nil
			}
			if !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("create namespace %s: %w", r.namespace, because(ctx, err))
			}
		case err != nil:
			return fmt.Errorf("read namespace %s: %w", r.namespace, because(ctx, err))
		case ns.DeletionTimestamp == nil:
			return nil
		}
		step.Set("waiting for namespace %s, which is being deleted", r.namespace)
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for namespace %s, which is being deleted: %w", r.namespace, context.Cause(ctx))
		case <-time.After(pollInterval):
		}
	}
}

// unchanged says whether an upgrade would do nothing: same chart, same values, and every object still there.
func (r releaser) unchanged(last *release.Release, c *chart.Chart, values map[string]any) (bool, error) {
	same, err := sameInputs(last, c, values)
	if err != nil || !same {
		return false, err
	}
	objects, err := r.cfg.KubeClient.Build(strings.NewReader(last.Manifest), false)
	if err != nil {
		return false, fmt.Errorf("read manifest of release %s: %w", ReleaseName, err)
	}
	for _, o := range objects {
		if err := o.Get(); apierrors.IsNotFound(err) {
			r.con.Warn("%s of release %s is gone; upgrading to put it back", o.ObjectName(), ReleaseName)
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("read %s of release %s: %w", o.ObjectName(), ReleaseName, err)
		}
	}
	return true, nil
}

// sameInputs compares as JSON, which is how Helm stores a release. It does not store a chart's dependencies, so a
// chart that has some is never the same.
func sameInputs(last *release.Release, c *chart.Chart, values map[string]any) (bool, error) {
	if len(c.Dependencies()) > 0 {
		return false, nil
	}
	before, err := json.Marshal([]any{last.Chart, last.Config})
	if err != nil {
		return false, fmt.Errorf("encode release %s: %w", ReleaseName, err)
	}
	now, err := json.Marshal([]any{c, values})
	if err != nil {
		return false, fmt.Errorf("encode chart %s: %w", c.Metadata.Name, err)
	}
	return bytes.Equal(before, now), nil
}

func since(r *release.Release) string { return r.Info.LastDeployed.Format(time.RFC3339) }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
