//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cedana/cedana-e2e/tests/environment"
)

// What all tests share; none of it changes after TestMain. kube is nil where there is no cluster, which begin's tests
// then never see.
var (
	env  *environment.Environment
	kube kubernetes.Interface
)

func TestMain(m *testing.M) {
	if err := prepare(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := keepExchanges(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func prepare(ctx context.Context) error {
	var err error
	if env, err = environment.Load(); err != nil {
		return err
	}
	if err := checkExchanges(); err != nil {
		return err
	}
	if env.NoCluster != "" {
		return nil
	}
	config, err := restConfig()
	if err != nil {
		return fmt.Errorf("read kubeconfig %s, context %s: %w; run `%s`", env.Kubeconfig, env.KubeContext, err, environment.Remedy)
	}
	if kube, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	if reserved, err = reserve(ctx); err != nil {
		return fmt.Errorf("reach the cluster of context %s at %s: %w; run `%s`", env.KubeContext, config.Host, err, environment.Remedy)
	}
	return nil
}

func restConfig() (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: env.Kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: env.KubeContext},
	).ClientConfig()
	if err != nil {
		return nil, err
	}
	// The default of 5 requests a second would make tests that run side by side wait for each other.
	config.QPS = -1
	return config, nil
}
