//go:build e2e

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/podwatch"
)

const (
	// cleanupTimeout bounds each step of a test's cleanup, artifactsTimeout the collection after a failure.
	cleanupTimeout   = 15 * time.Second
	artifactsTimeout = 30 * time.Second
	// soon bounds what is expected to be so at once, but is told by another component than the one that did it.
	soon = 10 * time.Second
)

// scene is one test: its namespace, its own client of the propagator, and what is known so far, for its messages.
type scene struct {
	*testing.T
	ctx       context.Context
	namespace string
	api       *propagator.Client
	requests  *requestLog
	// through is what requests go through that are sent without the client.
	through http.RoundTripper
	pods    *podwatch.Watch
	files   *artifacts.Directory
	facts   facts
	// origins has, for each pod, the pod as the test made it from which it descends.
	origins map[types.UID]*corev1.Pod
	// nonces has, for each nonce that a counter had before a checkpoint, whose it was.
	nonces map[string]string
	// anywhere lets pods be on the node that is reserved, see there.
	anywhere bool
	// actions are all that the test started, checkpoints all that they made.
	actions, checkpoints []string
}

// begin starts a test of a group, beside the others. Outside its group it is skipped, unless -run names it; so it is
// where there is no cluster to have pods in.
func begin(t *testing.T, group environment.Group) *scene {
	t.Helper()
	selected(t, group)
	wantsCluster(t)
	t.Parallel()
	return newScene(t)
}

// beginWithoutPods is begin for a test that only asks the propagator. It has a namespace where there is a cluster.
func beginWithoutPods(t *testing.T, group environment.Group) *scene {
	t.Helper()
	selected(t, group)
	t.Parallel()
	return newScene(t)
}

func wantsCluster(t *testing.T) {
	t.Helper()
	if env.NoCluster != "" {
		t.Skipf("needs pods: %s", env.NoCluster)
	}
}

// beginAlone is begin for a test that measures: no other test runs meanwhile.
func beginAlone(t *testing.T, group environment.Group) *scene {
	t.Helper()
	selected(t, group)
	wantsCluster(t)
	return newScene(t)
}

func selected(t *testing.T, group environment.Group) {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	run := flag.Lookup("test.run").Value.String()
	if !env.Suite.Has(group) && !strings.Contains(run, name) {
		t.Skipf("is in the group %s and SUITE is %s: run it with SUITE=%s or E2E_RUN=%s", group, env.Suite, group, name)
	}
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{
		T: t, ctx: t.Context(), namespace: env.NamespaceFor(t.Name(), nth(t.Name())),
		origins: map[types.UID]*corev1.Pod{}, nonces: map[string]string{},
		files: &artifacts.Directory{Path: filepath.Join(env.Artifacts, filepath.FromSlash(t.Name())), Secret: env.Token},
	}
	s.api, s.requests = s.client(env.Token)
	s.through = s.requests
	t.Cleanup(s.end)
	if kube == nil {
		return s
	}
	create := func() error {
		_, err := kube.CoreV1().Namespaces().Create(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name:   s.namespace,
			Labels: map[string]string{settings.KubernetesLabelRun: env.RunID, settings.KubernetesLabelManaged: settings.ManagedBy},
		}}, metav1.CreateOptions{})
		return err
	}
	err := create()
	for apierrors.IsAlreadyExists(err) {
		// `go test` by hand has the id of the last run, whose namespace may be kept, or still going.
		s.namespace = env.NamespaceFor(t.Name(), nth(t.Name()))
		err = create()
	}
	s.must(err, "create namespace %s", s.namespace)
	s.pods, err = podwatch.Start(s.ctx, kube, s.namespace)
	s.must(err, "watch pods in %s", s.namespace)
	return s
}

// client is a client of the propagator whose requests are remembered.
func (s *scene) client(token settings.Secret, opts ...propagator.Option) (*propagator.Client, *requestLog) {
	s.Helper()
	log := newRequestLog()
	// Polled often, because how long things take is measured with it.
	opts = append([]propagator.Option{
		propagator.WithTransport(log), propagator.WithPolling(20*time.Millisecond, 250*time.Millisecond),
	}, opts...)
	client, err := propagator.New(env.URL, token, opts...)
	s.must(err, "make client for the propagator at %s", env.URL)
	s.Cleanup(client.Close)
	return client, log
}

// end keeps what is needed to understand a failure, then lets the namespace go.
func (s *scene) end() {
	if s.Failed() {
		if err := s.collect(); err != nil {
			s.Logf("not all artifacts could be had: %v", err)
		}
		if env.Keep {
			s.Logf("E2E_KEEP is set: namespace %s stays", s.namespace)
			return
		}
	}
	if kube == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	// Not waited for: the cluster takes its time, and the next test has a namespace of its own.
	err := kube.CoreV1().Namespaces().Delete(ctx, s.namespace, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		s.Errorf("delete namespace %s: %v; remove it with `kubectl delete namespace %s`", s.namespace, err, s.namespace)
	}
}

func (s *scene) collect() error {
	ctx, cancel := context.WithTimeout(context.Background(), artifactsTimeout)
	defer cancel()
	errs := []error{
		artifacts.WriteLines(s.files, "requests.log", s.requests.Lines()),
		s.files.Write("facts.txt", []byte(s.facts.String()+"\n")),
	}
	if kube != nil {
		errs = append(errs, s.files.Namespace(ctx, kube, s.namespace), s.files.Cedana(ctx, kube, env.CedanaNamespace))
	}
	if s.pods != nil {
		errs = append(errs, artifacts.WriteLines(s.files, "pod-history.txt", s.pods.History()))
	}
	rows, err := s.api.Actions(ctx, propagator.ActionFilter{})
	errs = append(errs, err)
	var own []propagator.Action
	for _, row := range rows {
		for _, id := range s.actions {
			if row.ActionID == id {
				own = append(own, row)
			}
		}
	}
	errs = append(errs, s.files.WriteJSON("actions.json", own))
	if len(s.checkpoints) > 0 {
		list, err := s.api.Checkpoints(ctx, propagator.CheckpointFilter{IDs: s.checkpoints})
		errs = append(errs, err, s.files.WriteJSON("checkpoints.json", list))
	}
	return errors.Join(errs...)
}

// nth counts how often a test has begun in this process: -count runs it again, in another namespace.
func nth(test string) int {
	beganMu.Lock()
	defer beganMu.Unlock()
	began[test]++
	return began[test]
}

var (
	beganMu sync.Mutex
	began   = map[string]int{}
)

// facts are what a reader of a failure wants to know first.
type facts struct {
	pod, node, action, checkpoint, restore, moment string
	// round and replay are of a chaos run.
	round, replay string
}

func (f facts) String() string {
	var parts []string
	for _, p := range []struct{ name, value string }{
		{"pod", f.pod}, {"node", f.node}, {"checkpoint action", f.action}, {"checkpoint", f.checkpoint}, {"restore action", f.restore},
		{"seen of", f.moment}, {"in", f.round}, {"again:", f.replay},
	} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}

// about notes the pod that the test is at.
func (s *scene) about(p *corev1.Pod) {
	s.facts.pod, s.facts.node = fmt.Sprintf("%s/%s (%s)", p.Namespace, p.Name, p.UID), p.Spec.NodeName
}

// context adds to a message where it happened and where to look.
func (s *scene) context() string {
	where := s.facts.String()
	if where != "" {
		where = "\n  " + where
	}
	return where + "\n  logs, pods, events, actions and requests are in " + s.files.Path
}

// fail ends the test: what was expected and what was seen, on what, and where the rest is.
func (s *scene) fail(expected, seen string) {
	s.Helper()
	s.Fatalf("\n  expected: %s\n  seen:     %s%s", expected, seen, s.context())
}

// must ends the test when something could not be done.
func (s *scene) must(err error, doing string, args ...any) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v%s", fmt.Sprintf(doing, args...), err, s.context())
	}
}

// that ends the test unless it holds.
func (s *scene) that(holds bool, expected string, seen any) {
	s.Helper()
	if !holds {
		s.fail(expected, fmt.Sprint(seen))
	}
}

// equal ends the test unless both are the same.
func equal[T comparable](s *scene, what string, want, got T) {
	s.Helper()
	if want != got {
		s.fail(fmt.Sprintf("%s is %v", what, want), fmt.Sprint(got))
	}
}

func (s *scene) note(format string, args ...any) {
	s.Helper()
	s.Logf(format, args...)
}

// transport is what every test's client shares.
var transport http.RoundTripper = http.DefaultTransport.(*http.Transport).Clone()

// counterImage is the image of the pods that know what they have in memory. In an existing cluster there may be none.
func (s *scene) counterImage() string {
	s.Helper()
	if env.ImageCounter == "" {
		s.Skip("needs the counter's image in a registry that the cluster pulls from, and its name in E2E_IMAGE_COUNTER: " +
			"`go tool mage cluster` without E2E_CLUSTER makes it as images/counter-*.tar in E2E_HOME, for `docker load`")
	}
	return env.ImageCounter
}
