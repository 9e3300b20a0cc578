package deploy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func runCalled(home, id string) *settings.Deploy {
	return &settings.Deploy{Run: settings.Run{RunID: id, Home: home}, CedanaNamespace: "cedana-system"}
}

func take(ctx context.Context, client *fake.Clientset, id string, ended ...string) (*lease, error) {
	return takeLease(ctx, &console.Step{}, client, runCalled("/home", id), ended, usualTimes)
}

func notLost(t *testing.T) func(error) {
	return func(err error) { t.Errorf("lost: %v", err) }
}

// Clocks are the bubble's: minutes pass at once.
func TestTwoRunsInOneNamespaceAreKeptApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		first, err := take(t.Context(), client, "first")
		require.NoError(t, err)
		release := first.keep(t.Context(), notLost(t))

		// As long as it is renewed, and longer than it would live without.
		short, cancel := context.WithTimeoutCause(t.Context(), 5*time.Minute, errors.New("too long"))
		defer cancel()
		_, err = take(short, client, "second")
		require.ErrorContains(t, err, "too long")
		require.ErrorContains(t, err, "E2E_HOME /home, run first")

		got := make(chan error)
		go func() {
			second, err := take(t.Context(), client, "second")
			if err == nil {
				err = second.drop(t.Context())
			}
			got <- err
		}()
		time.Sleep(time.Minute)
		select {
		case err := <-got:
			t.Fatalf("the second did not wait: %v", err)
		default:
		}
		require.NoError(t, release())
		begin := time.Now()
		require.NoError(t, <-got)
		require.LessOrEqual(t, time.Since(begin), 2*time.Second)
		_, err = client.CoordinationV1().Leases("cedana-system").Get(t.Context(), leaseName, metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), "nothing is left of it")
	})
}

func TestALeaseThatNobodyRenewsIsAnybodys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		_, err := take(t.Context(), client, "killed")
		require.NoError(t, err)
		begin := time.Now()
		_, err = take(t.Context(), client, "next")
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begin), usualTimes.duration)
		require.Less(t, time.Since(begin), usualTimes.duration+3*time.Second)
		begin = time.Now()
		_, err = take(t.Context(), client, "third", "next")
		require.NoError(t, err)
		require.Zero(t, time.Since(begin), "a run that is known to be over is not waited for")
		_, err = takeLease(t.Context(), &console.Step{}, client, runCalled("/another", "fourth"), []string{"third"}, usualTimes)
		require.NoError(t, err)
		require.NotZero(t, time.Since(begin), "another's run with the same id is another")
	})
}

func TestALeaseThatIsLostIsTold(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*fake.Clientset){
		"to another": func(c *fake.Clientset) {
			l, err := c.CoordinationV1().Leases("cedana-system").Get(context.Background(), leaseName, metav1.GetOptions{})
			if err == nil {
				other := "another"
				l.Spec.HolderIdentity = &other
				_, err = c.CoordinationV1().Leases("cedana-system").Update(context.Background(), l, metav1.UpdateOptions{})
			}
			if err != nil {
				panic(err)
			}
		},
		"by a deletion": func(c *fake.Clientset) {
			_ = c.CoordinationV1().Leases("cedana-system").Delete(context.Background(), leaseName, metav1.DeleteOptions{})
		},
		"while the API does not answer": func(c *fake.Clientset) {
			c.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewClientset()
				l, err := take(t.Context(), client, "first")
				require.NoError(t, err)
				lost := make(chan error, 1)
				release := l.keep(t.Context(), func(err error) { lost <- err })
				time.Sleep(time.Minute)
				lose(client)
				begin := time.Now()
				require.ErrorContains(t, <-lost, "another run may begin in namespace cedana-system")
				require.Less(t, time.Since(begin), usualTimes.duration, "before another may have it")
				_ = release()
			})
		})
	}
}

func TestWithoutTheRightToTakeALeaseTheRunEndsAtOnce(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	client.PrependReactor("create", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(coordinationv1.Resource("leases"), leaseName, errors.New("no such role"))
	})
	_, err := take(t.Context(), client, "first")
	require.ErrorContains(t, err, "take Lease cedana-e2e in namespace cedana-system, which keeps two runs apart")
}

// What one run has made, another may be testing by now.
func TestNothingIsRemovedFromUnderAnothersRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReleaser(t)
		client := r.client
		r.mustApply(t, "/a")
		removing, runs := runCalled("/home", "clean"), []string{"1a2b3c4d"}
		ns, err := client.CoreV1().Namespaces().Get(t.Context(), "cedana-system", metav1.GetOptions{})
		require.NoError(t, err)
		ns.Labels = map[string]string{settings.KubernetesLabelManaged: settings.ManagedBy, settings.KubernetesLabelRun: "1a2b3c4d"}
		_, err = client.CoreV1().Namespaces().Update(t.Context(), ns, metav1.UpdateOptions{})
		require.NoError(t, err)

		l, err := take(t.Context(), client, "other")
		require.NoError(t, err)
		release := l.keep(t.Context(), notLost(t))
		_, err = r.holdToRemove(t.Context(), removing, runs)
		require.ErrorContains(t, err, "it is in use still after 40s")
		require.ErrorContains(t, err, "run other")
		unused, err := r.holdToRemove(t.Context(), removing, []string{"ffffffff"})
		require.NoError(t, err, "where nothing is of these runs there is nothing to wait for")
		require.NoError(t, unused())
		require.NoError(t, release())

		_, err = take(t.Context(), client, "1a2b3c4d")
		require.NoError(t, err)
		begin := time.Now()
		release, err = r.holdToRemove(t.Context(), removing, runs)
		require.NoError(t, err)
		require.Zero(t, time.Since(begin), "our own killed run is not waited for")
		require.NoError(t, release())
	})
}
