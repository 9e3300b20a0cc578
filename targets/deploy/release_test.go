package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube"
	kubefake "helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/cedana/cedana-e2e/targets/console"
)

// wholeRun is a time limit that no unit test comes near.
const wholeRun = time.Minute

func quiet() *console.Console { return console.New(io.Discard, io.Discard) }

type releaserTest struct {
	releaser
	said   *bytes.Buffer
	client *fake.Clientset
	kube   *kubefake.FailingKubeClient
}

func newReleaser(t *testing.T) releaserTest {
	t.Helper()
	memory := driver.NewMemory()
	memory.SetNamespace("cedana-system")
	k := &kubefake.FailingKubeClient{PrintingKubeClient: kubefake.PrintingKubeClient{Out: io.Discard}}
	cfg := &action.Configuration{
		Releases: storage.Init(memory), KubeClient: k, Capabilities: chartutil.DefaultCapabilities,
		Log: func(string, ...any) {},
	}
	client := fake.NewClientset()
	said := &bytes.Buffer{}
	return releaserTest{
		releaser: releaser{cfg: cfg, client: client, con: console.New(said, io.Discard), namespace: "cedana-system", labels: map[string]string{"e2e.cedana.ai/run": "1a2b3c4d"}},
		said:     said, client: client, kube: k,
	}
}

func dirValue(dir string) map[string]any { return nested("config.checkpointDir", dir) }

func (r releaserTest) mustApply(t *testing.T, dir string) (*release.Release, Outcome) {
	t.Helper()
	// A new chart each time, as each run reads it anew: Helm works on the one it is given.
	rel, outcome, err := r.apply(t.Context(), &console.Step{}, testChart("1.0.0"), dirValue(dir))
	require.NoError(t, err)
	return rel, outcome
}

// leave puts the last revision into the state that a killed run leaves it in.
func (r releaserTest) leave(t *testing.T, status release.Status) {
	t.Helper()
	last, err := r.cfg.Releases.Last(ReleaseName)
	require.NoError(t, err)
	last.SetStatus(status, "killed")
	require.NoError(t, r.cfg.Releases.Update(last))
}

func (r releaserTest) history(t *testing.T) map[int]release.Status {
	t.Helper()
	all, err := r.cfg.Releases.History(ReleaseName)
	require.NoError(t, err)
	out := map[int]release.Status{}
	for _, one := range all {
		out[one.Version] = one.Info.Status
	}
	return out
}

func TestFirstInstallThenNothingThenUpgrade(t *testing.T) {
	t.Parallel()
	r := newReleaser(t)
	rel, outcome := r.mustApply(t, "/a")
	require.Equal(t, Installed, outcome)
	require.Equal(t, release.StatusDeployed, rel.Info.Status)
	require.Contains(t, rel.Manifest, `dir: "/a"`)
	ns, err := r.client.CoreV1().Namespaces().Get(t.Context(), "cedana-system", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "1a2b3c4d", ns.Labels["e2e.cedana.ai/run"])

	rel, outcome = r.mustApply(t, "/a")
	require.Equal(t, Unchanged, outcome)
	require.Equal(t, 1, rel.Version)

	rel, outcome = r.mustApply(t, "/b")
	require.Equal(t, Upgraded, outcome)
	require.Equal(t, 2, rel.Version)
	require.Contains(t, rel.Manifest, `dir: "/b"`)
}

func TestAnotherChartIsAnUpgradeEvenUnderTheSameVersion(t *testing.T) {
	t.Parallel()
	r := newReleaser(t)
	r.mustApply(t, "/a")
	edited := testChart("1.0.0")
	edited.Templates[0].Data = append(edited.Templates[0].Data, "  more: \"1\"\n"...)
	_, outcome, err := r.apply(t.Context(), &console.Step{}, edited, dirValue("/a"))
	require.NoError(t, err)
	require.Equal(t, Upgraded, outcome)
}

func TestWhatAKillLeavesIsRecoveredAndSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		left    release.Status
		outcome Outcome
		history map[int]release.Status
		said    string
	}{
		{release.StatusPendingInstall, Installed, map[int]release.Status{1: release.StatusDeployed}, "removing it and installing anew"},
		{release.StatusUninstalling, Installed, map[int]release.Status{1: release.StatusDeployed}, "removing it and installing anew"},
		{release.StatusPendingUpgrade, Upgraded, map[int]release.Status{1: release.StatusSuperseded, 2: release.StatusDeployed}, "marking it failed"},
		{release.StatusPendingRollback, Upgraded, map[int]release.Status{1: release.StatusSuperseded, 2: release.StatusDeployed}, "marking it failed"},
		{release.StatusFailed, Upgraded, map[int]release.Status{1: release.StatusSuperseded, 2: release.StatusDeployed}, "had failed (killed)"},
		{release.StatusUninstalled, Installed, map[int]release.Status{1: release.StatusSuperseded, 2: release.StatusDeployed}, ""},
	} {
		t.Run(string(c.left), func(t *testing.T) {
			t.Parallel()
			r := newReleaser(t)
			r.mustApply(t, "/a")
			r.leave(t, c.left)
			rel, outcome := r.mustApply(t, "/a")
			require.Equal(t, c.outcome, outcome)
			require.Equal(t, release.StatusDeployed, rel.Info.Status)
			require.Equal(t, c.history, r.history(t))
			require.Contains(t, r.said.String(), c.said)
			_, outcome = r.mustApply(t, "/a")
			require.Equal(t, Unchanged, outcome)
		})
	}
}

func TestAPendingUpgradeKeepsTheLastDeployedRevision(t *testing.T) {
	t.Parallel()
	r := newReleaser(t)
	r.mustApply(t, "/a")
	r.mustApply(t, "/b")
	r.leave(t, release.StatusPendingUpgrade)
	first, err := r.cfg.Releases.Get(ReleaseName, 1)
	require.NoError(t, err)
	first.SetStatus(release.StatusDeployed, "it still was, when the upgrade was killed")
	require.NoError(t, r.cfg.Releases.Update(first))

	rel, outcome := r.mustApply(t, "/c")
	require.Equal(t, Upgraded, outcome)
	require.Equal(t, 3, rel.Version)
	require.Equal(t, map[int]release.Status{
		1: release.StatusSuperseded, 2: release.StatusFailed, 3: release.StatusDeployed,
	}, r.history(t))
}

func TestAFailedInstallNamesChartReleaseAndNamespace(t *testing.T) {
	t.Parallel()
	r := newReleaser(t)
	r.kube.BuildDummy = true
	r.kube.BuildError = errors.New("no matches for kind")
	_, _, err := r.apply(t.Context(), &console.Step{}, testChart("1.0.0"), dirValue("/a"))
	require.ErrorContains(t, err, "install chart cedana-helm as release cedana in namespace cedana-system")
	require.ErrorContains(t, err, "no matches for kind")
}

func TestACancelledInstallIsRecordedAsFailedAndTheNextRunGoesOn(t *testing.T) {
	t.Parallel()
	r := newReleaser(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := &slowKube{FailingKubeClient: r.kube, entered: entered, leave: leave}
	r.cfg.KubeClient = slow
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by the user")
	go func() { <-entered; cancel(stopped) }()
	c := testChart("1.0.0")
	// A hook keeps Helm busy at a place where it does not look at its context.
	c.Templates[0].Data = append(c.Templates[0].Data, "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: hook\n  annotations:\n    helm.sh/hook: pre-install\n"...)
	_, _, err := r.apply(ctx, &console.Step{}, c, dirValue("/a"))
	require.ErrorIs(t, err, stopped)
	require.Equal(t, map[int]release.Status{1: release.StatusFailed}, r.history(t))
	close(leave)
}

// slowKube holds Helm up where it creates the first hook.
type slowKube struct {
	*kubefake.FailingKubeClient
	entered, leave chan struct{}
}

func (s *slowKube) Create(_ kube.ResourceList) (*kube.Result, error) {
	close(s.entered)
	<-s.leave
	return nil, context.Canceled
}

func TestANamespaceThatIsBeingDeletedIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReleaser(t)
		now := metav1.Now()
		namespaces := r.client.CoreV1().Namespaces()
		_, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "cedana-system", DeletionTimestamp: &now, Finalizers: []string{"kubernetes"},
		}}, metav1.CreateOptions{})
		require.NoError(t, err)

		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, _, err = r.apply(short, &console.Step{}, testChart("1.0.0"), dirValue("/a"))
		require.ErrorContains(t, err, "wait for namespace cedana-system, which is being deleted")

		time.AfterFunc(100*time.Millisecond, func() {
			_ = namespaces.Delete(context.Background(), "cedana-system", metav1.DeleteOptions{})
		})
		_, outcome := r.mustApply(t, "/a")
		require.Equal(t, Installed, outcome)
	})
}
