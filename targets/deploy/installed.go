package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// The names are the chart's; Cedana's own suite reads the same objects for SKIP_HELM=1.
const (
	configMapName = "cedana-config"
	secretName    = "cedana-secrets"
	instanceLabel = "app.kubernetes.io/instance"
)

// Installation is what Cedana was installed with.
type Installation struct {
	ClusterID string
	URL       string
	Token     settings.Secret

	// instance is the release's name, whatever it was called.
	instance string
}

// FindInstalled reads what Cedana in the cluster was installed with. It changes nothing.
func FindInstalled(ctx context.Context, s *settings.Deploy, opts Options) (Installation, error) {
	cluster, err := open(ctx, s, opts.withDefaults(s))
	if err != nil {
		return Installation{}, err
	}
	return installed(ctx, cluster.client, s.CedanaNamespace)
}

func open(ctx context.Context, s *settings.Deploy, opts Options) (*cluster, error) {
	loader, err := loadConfig(opts.Kubeconfig, opts.Context, s.CedanaNamespace)
	if err != nil {
		return nil, err
	}
	return connect(ctx, loader)
}

// Reach asks a cluster for its version: the first word with one that this project did not make.
func Reach(ctx context.Context, s *settings.Deploy, opts Options) (version string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, stretch.Limit(recordTimeout), fmt.Errorf("no answer within %s", stretch.Limit(recordTimeout)))
	defer cancel()
	cluster, err := open(ctx, s, opts.withDefaults(s))
	if err != nil {
		return "", err
	}
	// Discovery takes no context of its own; this one's requests end with ctx.
	answer, err := cluster.discovery.ServerVersion()
	if err != nil {
		return "", fmt.Errorf("reach the cluster of context %s in %s: %w", opts.Context, opts.Kubeconfig, because(ctx, err))
	}
	return answer.GitVersion, nil
}

func installed(ctx context.Context, client kubernetes.Interface, namespace string) (Installation, error) {
	const remedy = "SKIP_HELM=1 takes what is installed: without it `go tool mage deploy` installs Cedana"
	config, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, configMapName, metav1.GetOptions{})
	if err != nil {
		return Installation{}, fmt.Errorf("read ConfigMap %s in namespace %s: %w (%s)", configMapName, namespace, because(ctx, err), remedy)
	}
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, secretName, metav1.GetOptions{})
	if err != nil {
		return Installation{}, fmt.Errorf("read Secret %s in namespace %s: %w (%s)", secretName, namespace, because(ctx, err), remedy)
	}
	i := Installation{
		ClusterID: config.Data["cluster-id"], URL: config.Data["url"],
		Token: settings.Secret(secret.Data["auth-token"]), instance: config.Labels[instanceLabel],
	}
	if i.instance == "" {
		i.instance = ReleaseName
	}
	var missing []error
	for _, field := range []struct {
		object, key string
		set         bool
	}{{"ConfigMap " + configMapName, "cluster-id", i.ClusterID != ""}, {"ConfigMap " + configMapName, "url", i.URL != ""}, {"Secret " + secretName, "auth-token", i.Token.Set()}} {
		if !field.set {
			missing = append(missing, fmt.Errorf("read %s in namespace %s: it has no %s", field.object, namespace, field.key))
		}
	}
	return i, errors.Join(missing...)
}

// UseInstalled is Run for what is installed already: it waits until that is ready, and changes nothing. The cluster's id
// is the settings', else the one that Cedana was installed with.
func UseInstalled(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options) (*Identity, error) {
	opts = opts.withDefaults(s)
	mask := mask.New(opts.Token, opts.RegistryPassword)
	ctx, cancel := within(ctx, s)
	defer cancel()
	identity, err := useInstalled(ctx, con, s, opts, mask)
	return identity, mask.Error(err)
}

func useInstalled(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options, mask mask.Mask) (*Identity, error) {
	cluster, err := open(ctx, s, opts)
	if err != nil {
		return nil, err
	}
	found, err := installed(ctx, cluster.client, s.CedanaNamespace)
	if err != nil {
		return nil, err
	}
	identity := &Identity{ID: cmp.Or(s.ClusterID, found.ClusterID)}
	con.Ok("Cedana is installed as release %s; cluster %s", found.instance, identity.ID)
	g := gate{client: cluster.client, namespace: s.CedanaNamespace, instance: found.instance, mask: mask, poll: pollInterval}
	if g.workloads, err = installedWorkloads(ctx, cluster.client, s.CedanaNamespace, found.instance); err != nil {
		return nil, err
	}
	return identity, con.Run(ctx, "wait until Cedana's pods are ready", g.wait)
}

func installedWorkloads(ctx context.Context, client kubernetes.Interface, namespace, instance string) ([]workload, error) {
	selected := metav1.ListOptions{LabelSelector: instanceLabel + "=" + instance}
	var out []workload
	sets, err := client.AppsV1().DaemonSets(namespace).List(ctx, selected)
	if err != nil {
		return nil, fmt.Errorf("list DaemonSets of release %s: %w", instance, because(ctx, err))
	}
	for _, d := range sets.Items {
		out = append(out, workload{"DaemonSet", namespace, d.Name})
	}
	deployments, err := client.AppsV1().Deployments(namespace).List(ctx, selected)
	if err != nil {
		return nil, fmt.Errorf("list Deployments of release %s: %w", instance, because(ctx, err))
	}
	for _, d := range deployments.Items {
		out = append(out, workload{"Deployment", namespace, d.Name})
	}
	return out, nil
}

// Remove takes out of a cluster what runs of this project put into it: the release, if one of these runs has made it or
// brought it to its last revision, and every namespace that carries the label of one of them. Nothing else is touched:
// no volume, no other release, no namespace of another's run. While another run holds the namespace ([Hold]) nothing is
// removed, and the error says whose it is. It returns the names of what it removed; removing what is
// not there is a success.
func Remove(ctx context.Context, s *settings.Deploy, opts Options, runs []string) (removed []string, err error) {
	opts = opts.withDefaults(s)
	cluster, err := open(ctx, s, opts)
	if err != nil {
		return nil, err
	}
	cfg, err := cluster.helm(s.CedanaNamespace, func(string, ...any) {})
	if err != nil {
		return nil, err
	}
	r := releaser{cfg: cfg, client: cluster.client, namespace: s.CedanaNamespace}
	release, err := r.holdToRemove(ctx, s, runs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	did, err := r.removeOurs(ctx, runs)
	if did {
		removed = append(removed, fmt.Sprintf("release %s in namespace %s", ReleaseName, s.CedanaNamespace))
	}
	if err != nil {
		return removed, err
	}
	namespaces, err := removeNamespaces(ctx, cluster.client, runs)
	return append(removed, namespaces...), err
}

// takeToRemove is longer than a Lease lives that nobody renews.
const takeToRemove = 40 * time.Second

// holdToRemove keeps runs away from the namespace while it, or the release in it, is removed: another may use by now what
// one of these has made. Where these have made neither it does nothing.
func (r releaser) holdToRemove(ctx context.Context, s *settings.Deploy, runs []string) (release func() error, err error) {
	ns, err := r.client.CoreV1().Namespaces().Get(ctx, r.namespace, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read namespace %s: %w", r.namespace, because(ctx, err))
	}
	there := err == nil && ns.DeletionTimestamp == nil
	mine, err := r.madeBy(runs)
	if err != nil {
		return nil, because(ctx, err)
	}
	if !there || !mine && !ours(ns.Labels, runs) {
		return func() error { return nil }, nil
	}
	waiting, cancel := context.WithTimeoutCause(ctx, stretch.Limit(takeToRemove), fmt.Errorf("it is in use still after %s", stretch.Limit(takeToRemove)))
	defer cancel()
	l, err := takeLease(waiting, &console.Step{}, r.client, s, runs, usualTimes)
	if err != nil {
		return nil, err
	}
	return l.keep(ctx, func(error) {}), nil
}

func (r releaser) removeOurs(ctx context.Context, runs []string) (bool, error) {
	mine, err := r.madeBy(runs)
	if err != nil || !mine {
		return false, because(ctx, err)
	}
	return true, r.uninstall(ctx)
}

// madeBy says whether one of these runs has made the release, or brought it to its last revision.
func (r releaser) madeBy(runs []string) (bool, error) {
	last, err := r.cfg.Releases.Last(ReleaseName)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read release %s in namespace %s: %w", ReleaseName, r.namespace, err)
	}
	return ours(last.Labels, runs), nil
}

func removeNamespaces(ctx context.Context, client kubernetes.Interface, runs []string) (removed []string, err error) {
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: settings.KubernetesLabelManaged + "=" + settings.ManagedBy})
	if err != nil {
		return nil, fmt.Errorf("list namespaces of this project: %w", because(ctx, err))
	}
	for _, ns := range list.Items {
		if !ours(ns.Labels, runs) || ns.Status.Phase == corev1.NamespaceTerminating {
			continue
		}
		uid := ns.UID
		if deleteErr := client.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); deleteErr != nil {
			err = errors.Join(err, fmt.Errorf("remove namespace %s: %w", ns.Name, because(ctx, deleteErr)))
			continue
		}
		removed = append(removed, "namespace "+ns.Name)
	}
	return removed, err
}

// ours says whether an object's labels are this project's, and of one of these runs.
func ours(labels map[string]string, runs []string) bool {
	return labels[settings.KubernetesLabelManaged] == settings.ManagedBy && slices.Contains(runs, labels[settings.KubernetesLabelRun])
}
