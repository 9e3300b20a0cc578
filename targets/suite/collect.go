package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Source is something that only its caller can get: the nodes' logs, the propagator's, the release's history. It
// writes one or more files into a directory that exists.
type Source struct {
	Name    string
	Collect func(ctx context.Context, dir string) error
}

// Collect keeps what is needed to understand a failure, of the set-up too, below failure/ in the artifacts: the
// sources, and pods, events and logs of the Cedana namespace and of every namespace of this run's tests. Each part is
// tried whatever became of the others, as a cluster that does not answer still has nodes with logs; what could not be
// had is said, and is no error of its own.
func Collect(ctx context.Context, con *console.Console, s *settings.Suite, opts Options) error {
	opts = opts.withDefaults(s)
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(collectTimeout))
	defer cancel()
	dir := filepath.Join(s.Artifacts, FailureDir)
	m := mask.New(opts.Token)
	return con.Run(ctx, "collect artifacts", func(ctx context.Context, step *console.Step) error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make directory for artifacts: %w", err)
		}
		var missing []error
		for _, source := range opts.Sources {
			step.Set("collecting %s", source.Name)
			if err := source.Collect(ctx, dir); err != nil {
				missing = append(missing, fmt.Errorf("collect %s: %w", source.Name, err))
			}
		}
		if opts.NoCluster == "" {
			step.Set("collecting pods, events and logs")
			missing = append(missing, collectCluster(ctx, s, opts, dir))
		}
		if err := errors.Join(missing...); err != nil {
			con.Warn("not all artifacts could be had: %s", m.Text(err.Error()))
		}
		step.Note("%s", dir)
		return maskFiles(dir, m)
	})
}

func collectCluster(ctx context.Context, s *settings.Suite, opts Options, dir string) error {
	client, err := connect(opts)
	if err != nil {
		return err
	}
	return collectNamespaces(ctx, client, s, opts.Token, dir)
}

func connect(opts Options) (kubernetes.Interface, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: opts.Kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: opts.Context},
	).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", opts.Kubeconfig, err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	return client, nil
}

func collectNamespaces(ctx context.Context, client kubernetes.Interface, s *settings.Suite, token settings.Secret, dir string) error {
	names := []string{s.Tests.CedanaNamespace}
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: settings.KubernetesLabelRun + "=" + s.RunID})
	if err != nil {
		err = fmt.Errorf("list namespaces of run %s: %w", s.RunID, err)
	} else {
		for _, ns := range list.Items {
			if ns.Name != s.Tests.CedanaNamespace {
				names = append(names, ns.Name)
			}
		}
	}
	for _, name := range names {
		files := &artifacts.Directory{Path: filepath.Join(dir, "namespaces", name), Secret: token}
		err = errors.Join(err, files.Namespace(ctx, client, name))
	}
	return err
}
