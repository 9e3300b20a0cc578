package deploy

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// recordTimeout bounds each request to Helm's own records, which are written even after the run was cancelled.
const recordTimeout = 10 * time.Second

// loadConfig reads exactly one kubeconfig file and one context of it: never KUBECONFIG, ~/.kube/config or the context
// that happens to be current.
func loadConfig(kubeconfig, kubeContext, namespace string) (clientcmd.ClientConfig, error) {
	raw, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	if _, ok := raw.Contexts[kubeContext]; !ok {
		return nil, fmt.Errorf("find context %s: kubeconfig %s does not have it", kubeContext, kubeconfig)
	}
	overrides := &clientcmd.ConfigOverrides{}
	overrides.Context.Namespace = namespace
	return clientcmd.NewNonInteractiveClientConfig(*raw, kubeContext, overrides, nil), nil
}

// cluster is a connection to a Kubernetes API whose requests end with a context, and through which Helm works too.
// It is Helm's RESTClientGetter; discovery is kept in memory, where Helm's own would write to ~/.kube/cache.
type cluster struct {
	loader clientcmd.ClientConfig
	config *rest.Config
	// Client is for everything but Helm.
	client    kubernetes.Interface
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
}

func connect(ctx context.Context, loader clientcmd.ClientConfig) (*cluster, error) {
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	// The API server is ours alone and near; client-go's default of 5 requests a second would slow Helm down.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.UserAgent = "cedana-e2e"
	free := rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return withContext{ctx, next} })
	c := &cluster{loader: loader, config: config}
	if c.client, err = kubernetes.NewForConfig(free); err != nil {
		return nil, fmt.Errorf("make Kubernetes client: %w", err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make Kubernetes discovery client: %w", err)
	}
	c.discovery = memory.NewMemCacheClient(d)
	c.mapper = restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(c.discovery), c.discovery, nil)
	return c, nil
}

func (c *cluster) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(c.config), nil }

func (c *cluster) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return c.discovery, nil
}

func (c *cluster) ToRESTMapper() (meta.RESTMapper, error) { return c.mapper, nil }

func (c *cluster) ToRawKubeConfigLoader() clientcmd.ClientConfig { return c.loader }

// helm is Helm's configuration for a namespace.
//
// Helm goes on in the background when its context ends (helm/helm#12109). Here every request of it ends with the
// context, so nothing happens after a run was cancelled; only the records keep working, so that the release is
// recorded as failed and not left pending.
func (c *cluster) helm(namespace string, log action.DebugLog) (*action.Configuration, error) {
	cfg := new(action.Configuration)
	if err := cfg.Init(c, namespace, "secret", log); err != nil {
		return nil, fmt.Errorf("initialise Helm: %w", err)
	}
	config, err := c.loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1
	config.Timeout = stretch.Limit(recordTimeout)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make Kubernetes client: %w", err)
	}
	records := driver.NewSecrets(client.CoreV1().Secrets(namespace))
	records.Log = log
	cfg.Releases = storage.Init(records)
	return cfg, nil
}
