package cluster

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cedana/cedana-e2e/targets/console"
)

// nodesUp waits until the API answers, the nodes are Ready, and pods can be created: the default service account is there.
func (m *maker) nodesUp(ctx context.Context, step *console.Step, nodes []string) (*kubernetes.Clientset, error) {
	api, err := kubeClient(m.settings.Kubeconfig(), m.settings.KubeContext())
	if err != nil {
		return nil, err
	}
	if err := until(ctx, step, "the Kubernetes API", func(ctx context.Context) (bool, string, error) {
		return answers(ctx, api)
	}); err != nil {
		return nil, err
	}
	if err := until(ctx, step, count(len(nodes), "node")+" to be Ready", func(ctx context.Context) (bool, string, error) {
		return nodesReady(ctx, api, nodes)
	}); err != nil {
		return nil, err
	}
	return api, until(ctx, step, "the default service account", func(ctx context.Context) (bool, string, error) {
		_, err := api.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, text(err), nil
	})
}

// usable waits for what a cluster whose nodes are up lacks to be usable, as [Ensure] defines it.
func (m *maker) usable(ctx context.Context, step *console.Step, api kubernetes.Interface, nodes []string) error {
	if err := m.resolves(ctx, step, api, nodes); err != nil {
		return err
	}
	return m.runtimesReady(ctx, step, nodes)
}

// kubeClient is an API client with the given context of a kubeconfig file, and nothing of the user's own.
func kubeClient(kubeconfig, kubeContext string) (*kubernetes.Clientset, error) {
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: kubeContext},
	).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	// The default of 5 requests a second is for controllers.
	cfg.QPS, cfg.Burst = 100, 100
	rest.AddUserAgent(cfg, "cedana-e2e")
	api, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", kubeconfig, err)
	}
	return api, nil
}

func answers(ctx context.Context, api kubernetes.Interface) (bool, string, error) {
	body, err := api.Discovery().RESTClient().Get().AbsPath("/readyz").Param("verbose", "true").DoRaw(ctx)
	if err == nil {
		return true, "", nil
	}
	// /readyz lists its checks; those that failed start with [-].
	var failed []string
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "[-]") {
			failed = append(failed, strings.TrimSpace(line))
		}
	}
	if len(failed) > 0 {
		return false, strings.Join(failed, ", "), nil
	}
	return false, err.Error(), nil
}

func nodesReady(ctx context.Context, api kubernetes.Interface, names []string) (bool, string, error) {
	nodes, err := api.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err.Error(), nil
	}
	state := make(map[string]string)
	for _, n := range nodes.Items {
		state[n.Name] = "has no Ready condition"
		for _, c := range n.Status.Conditions {
			if c.Type != corev1.NodeReady {
				continue
			}
			state[n.Name] = fmt.Sprintf("Ready=%s %s: %s", c.Status, c.Reason, c.Message)
			if c.Status == corev1.ConditionTrue {
				state[n.Name] = ""
			}
		}
	}
	var missing []string
	for _, name := range names {
		now, known := state[name]
		switch {
		case !known:
			missing = append(missing, name+" has not registered")
		case now != "":
			missing = append(missing, name+" "+now)
		}
	}
	return len(missing) == 0, strings.Join(missing, "; "), nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
