package deploy

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestWhatIsInstalledIsReadFromTheChartsConfigMapAndSecret(t *testing.T) {
	t.Parallel()
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "cedana-config", Namespace: "cedana-system", Labels: map[string]string{instanceLabel: "theirs"}},
		Data:       map[string]string{"cluster-id": "id-1", "url": "https://propagator/v1"},
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "cedana-secrets", Namespace: "cedana-system"},
		Data:       map[string][]byte{"auth-token": []byte(canary)},
	}
	got, err := installed(t.Context(), fake.NewClientset(config, secret), "cedana-system")
	require.NoError(t, err)
	require.Equal(t, Installation{ClusterID: "id-1", URL: "https://propagator/v1", Token: canary, instance: "theirs"}, got)

	_, err = installed(t.Context(), fake.NewClientset(secret), "cedana-system")
	require.ErrorContains(t, err, "read ConfigMap cedana-config in namespace cedana-system")
	require.ErrorContains(t, err, "SKIP_HELM=1")
	secret.Data = nil
	_, err = installed(t.Context(), fake.NewClientset(config, secret), "cedana-system")
	require.ErrorContains(t, err, "has no auth-token")
}

func TestOnlyNamespacesOfTheseRunsAreRemoved(t *testing.T) {
	t.Parallel()
	namespace := func(name string, labels ...string) *corev1.Namespace {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
		for i := 0; i < len(labels); i += 2 {
			ns.Labels[labels[i]] = labels[i+1]
		}
		return ns
	}
	const managed, run = settings.KubernetesLabelManaged, settings.KubernetesLabelRun
	client := fake.NewClientset(
		namespace("ours", managed, settings.ManagedBy, run, "1a2b3c4d"),
		namespace("another-run", managed, settings.ManagedBy, run, "ffffffff"),
		namespace("same-id-by-chance", managed, "somebody", run, "1a2b3c4d"),
		namespace("default"),
	)
	removed, err := removeNamespaces(t.Context(), client, []string{"1a2b3c4d"})
	require.NoError(t, err)
	require.Equal(t, []string{"namespace ours"}, removed)
	_, err = client.CoreV1().Namespaces().Get(t.Context(), "ours", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
	left, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, left.Items, 3)
}

func TestInAClusterThatIsNotOursAReleaseThatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newReleaser(t)
	r.mustApply(t, "/a")
	r.oursOnly = true
	_, _, err := r.apply(t.Context(), &console.Step{}, testChart("1.0.0"), dirValue("/b"))
	require.ErrorContains(t, err, "was not made by this project")
	require.ErrorContains(t, err, "SKIP_HELM=1")
	did, err := r.removeOurs(t.Context(), []string{"1a2b3c4d"})
	require.NoError(t, err)
	require.False(t, did)
	require.Len(t, r.history(t), 1)
}

func TestOurReleaseIsUpgradedAndRemovedByTheRunsThatMadeIt(t *testing.T) {
	t.Parallel()
	r := newReleaser(t)
	r.oursOnly = true
	r.labels = map[string]string{settings.KubernetesLabelManaged: settings.ManagedBy, settings.KubernetesLabelRun: "1a2b3c4d"}
	r.mustApply(t, "/a")
	_, outcome := r.mustApply(t, "/b")
	require.Equal(t, Upgraded, outcome)

	did, err := r.removeOurs(t.Context(), []string{"ffffffff"})
	require.NoError(t, err)
	require.False(t, did, "it is another's")
	did, err = r.removeOurs(t.Context(), []string{"1a2b3c4d"})
	require.NoError(t, err)
	require.True(t, did)
	did, err = r.removeOurs(t.Context(), []string{"1a2b3c4d"})
	require.NoError(t, err)
	require.False(t, did, "once is enough")
}
