package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// realReleaser works on a real cluster, in a namespace of its own.
func realReleaser(t *testing.T, ctx context.Context) releaser {
	t.Helper()
	kubeconfig, kubeContext := os.Getenv("E2E_KUBECONFIG"), os.Getenv("E2E_KUBECONTEXT")
	if kubeconfig == "" || kubeContext == "" {
		t.Skip("needs a cluster: run `go tool mage cluster`, then set E2E_KUBECONFIG to the path that it prints and E2E_KUBECONTEXT=k3d-cedana-e2e")
	}
	namespace := "deploy-" + strings.ToLower(rand.Text()[:8])
	loader, err := loadConfig(kubeconfig, kubeContext, namespace)
	require.NoError(t, err)
	c, err := connect(ctx, loader)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			require.NoError(t, err)
		}
	})
	cfg, err := c.helm(namespace, t.Logf)
	require.NoError(t, err)
	return releaser{
		cfg: cfg, client: c.client, con: quiet(), namespace: namespace,
		labels: map[string]string{settings.KubernetesLabelManaged: settings.ManagedBy},
	}
}

func (r releaser) hasConfig(t *testing.T) bool {
	t.Helper()
	_, err := r.client.CoreV1().ConfigMaps(r.namespace).Get(t.Context(), "cedana-config", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	require.NoError(t, err)
	return true
}

func TestARealClustersReleaseIsRecoveredFromEveryState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		left release.Status
		// there and gone are the outcomes where the release's objects are there, and where they are gone.
		there, gone Outcome
	}{
		{release.StatusPendingInstall, Installed, Installed},
		{release.StatusUninstalling, Installed, Installed},
		{release.StatusPendingUpgrade, Upgraded, Upgraded},
		{release.StatusPendingRollback, Upgraded, Upgraded},
		{release.StatusFailed, Upgraded, Upgraded},
		{release.StatusDeployed, Unchanged, Upgraded},
	} {
		for objects, outcome := range map[string]Outcome{"there": c.there, "gone": c.gone} {
			t.Run(string(c.left)+", objects "+objects, func(t *testing.T) {
				t.Parallel()
				r := realReleaser(t, t.Context())
				apply := func() Outcome {
					_, outcome, err := r.apply(t.Context(), &console.Step{}, testChart("1.0.0"), dirValue("/a"))
					require.NoError(t, err)
					require.True(t, r.hasConfig(t))
					return outcome
				}
				require.Equal(t, Installed, apply())
				last, err := r.cfg.Releases.Last(ReleaseName)
				require.NoError(t, err)
				last.SetStatus(c.left, "killed")
				require.NoError(t, r.cfg.Releases.Update(last))
				if objects == "gone" {
					require.NoError(t, r.client.CoreV1().ConfigMaps(r.namespace).Delete(t.Context(), "cedana-config", metav1.DeleteOptions{}))
				}
				require.Equal(t, outcome, apply())
				require.Equal(t, Unchanged, apply())
			})
		}
	}
}

func TestHelmDoesNothingMoreAfterACancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	r := realReleaser(t, ctx)
	c := testChart("1.0.0")
	// Helm waits for this hook before it creates anything else, and does not look at its context meanwhile.
	c.Templates = append(c.Templates, &chart.File{Name: "templates/hook.yaml", Data: []byte(`apiVersion: v1
kind: Pod
metadata:
  name: hook
  annotations:
    helm.sh/hook: pre-install
spec:
  restartPolicy: Never
  nodeSelector: {no: such-node}
  containers: [{name: hook, image: hook}]
`)})
	stopped := errors.New("stopped by the user")
	go func() {
		for ctx.Err() == nil {
			if _, err := r.client.CoreV1().Pods(r.namespace).Get(ctx, "hook", metav1.GetOptions{}); err == nil {
				cancel(stopped)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	_, _, err := r.apply(ctx, &console.Step{}, c, dirValue("/a"))
	require.ErrorIs(t, err, stopped)
	last, err := r.cfg.Releases.Last(ReleaseName)
	require.NoError(t, err)
	require.Equal(t, release.StatusFailed, last.Info.Status)

	// Had Helm gone on, it would do so when its hook has ended.
	require.NoError(t, r.client.CoreV1().Pods(r.namespace).Delete(t.Context(), "hook", metav1.DeleteOptions{}))
	time.Sleep(2 * time.Second)
	require.False(t, r.hasConfig(t))
}
