// Package manager is the stand-in's part in every cluster: it tells the propagator of the cluster's pods and nodes, and
// creates the pods that restore.
package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/sethvargo/go-envconfig"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/cedana/cedana-e2e/targets/local/standin/health"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Environment is what the chart gives the manager.
type Environment struct {
	URL       string          `env:"CEDANA_URL,required"`
	Token     settings.Secret `env:"CEDANA_AUTH_TOKEN,required"`
	ClusterID string          `env:"CEDANA_CLUSTER_ID,required"`
	// Address for the health endpoints.
	Address  string `env:"CEDANA_HEALTH_ADDRESS,default=:8081"`
	LogLevel string `env:"CEDANA_LOG_LEVEL,default=info"`
	// RestoreTimeout is how long a restored pod may take to be Ready.
	RestoreTimeout time.Duration `env:"CEDANA_RESTORE_TIMEOUT,default=2m"`
}

// Seams are where something can be put around the parts of a manager; the zero value puts nothing.
type Seams struct {
	// Transport carries the polls for work; nil means its client's own.
	Transport http.RoundTripper
	// Decorate is given the parts that a restore is done with and returns those to use in their place.
	Decorate func(Parts) Parts
}

// Main is `cedana manager`, in a pod of the cluster.
func Main(ctx context.Context, _ []string, seams Seams) error {
	var env Environment
	if err := envconfig.Process(ctx, &env); err != nil {
		return fmt.Errorf("read environment: %w", err)
	}
	if env.URL == "" || !env.Token.Set() || env.ClusterID == "" {
		return errors.New("read environment: CEDANA_URL, CEDANA_AUTH_TOKEN and CEDANA_CLUSTER_ID must not be empty")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(env.LogLevel)); err != nil {
		return fmt.Errorf("read CEDANA_LOG_LEVEL: %q, want debug, info, warn or error", env.LogLevel)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	return run(ctx, env, config, seams)
}

func run(ctx context.Context, env Environment, config *rest.Config, seams Seams) error {
	kubernetes, err := restClient(config)
	if err != nil {
		return err
	}
	api, err := propagator.New(env.URL, env.Token, propagator.WithLogger(slog.Default()))
	if err != nil {
		return err
	}
	queue, err := worker.New(env.URL, env.Token, work.RoleManager, env.ClusterID, "", seams.Transport)
	if err != nil {
		return err
	}
	f := &follower{timeout: env.RestoreTimeout}
	nodes := informer(kubernetes, "nodes", &corev1.Node{})
	check := checker{objectAPI{kubernetes}, nodes.GetStore()}
	parts := Parts{Build: restoredPod, Check: check.check, Pods: podAPI{kubernetes}, Follow: f.follow}
	if seams.Decorate != nil {
		parts = seams.Decorate(parts)
	}
	m := &manager{
		api: api, queue: queue, reporter: newReporter(env.ClusterID, api.SyncCluster),
		restorer: &restorer{parts}, follower: f, events: eventAPI{kubernetes},
		pods:  informer(kubernetes, "pods", &corev1.Pod{}),
		nodes: nodes,
	}
	ready := health.New(env.Address, "the cluster's pods and nodes are not known yet")
	return ready.Serve(ctx, func(ctx context.Context) error { return m.run(ctx, ready, env.URL) })
}

type manager struct {
	api         *propagator.Client
	queue       *worker.Client
	reporter    *reporter
	restorer    *restorer
	follower    *follower
	events      events
	pods, nodes cache.SharedIndexInformer
}

func (m *manager) run(ctx context.Context, ready *health.Server, url string) error {
	if err := m.handlers(); err != nil {
		return fmt.Errorf("watch the cluster: %w", err)
	}
	go m.pods.RunWithContext(ctx)
	go m.nodes.RunWithContext(ctx)
	go m.reporter.run(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), m.pods.HasSynced, m.nodes.HasSynced) {
		return context.Cause(ctx)
	}
	slog.Info("watching the cluster", "pods", len(m.pods.GetStore().ListKeys()), "nodes", len(m.nodes.GetStore().ListKeys()))
	go m.catchUp(ctx)
	polled := func(err error) {
		if err != nil {
			ready.Fail(fmt.Errorf("poll %s for work: %w", url, err))
			return
		}
		ready.Ok()
	}
	m.queue.Serve(ctx, polled, m.do)
	return nil
}

// do is one unit of work from start to result.
func (m *manager) do(ctx context.Context, w *work.Work) worker.Outcome {
	if w.Kind == work.KindEvent && w.Event != nil {
		return tell(ctx, m.events, w)
	}
	return m.restorer.do(ctx, w)
}

func (m *manager) handlers() error {
	var errs []error
	add := func(i cache.SharedIndexInformer, h cache.ResourceEventHandler) {
		_, err := i.AddEventHandler(h)
		errs = append(errs, err)
	}
	errs = append(errs, m.pods.SetTransform(trim), m.nodes.SetTransform(trim))
	add(m.pods, m.follower.handler())
	add(m.pods, m.reporter.handler("Pod"))
	add(m.nodes, m.reporter.handler("Node"))
	return errors.Join(errs...)
}

// catchUp sees to what happened while no manager ran: pods that have gone, and restores whose manager was lost.
func (m *manager) catchUp(ctx context.Context) {
	if err := m.forgetGone(ctx); err != nil && ctx.Err() == nil {
		slog.Warn("telling the propagator of pods that have gone failed", "error", err)
	}
	for _, object := range m.pods.GetStore().List() {
		pod := object.(*corev1.Pod)
		action := pod.Labels[work.LabelRestore]
		if ready, _, _ := outcome(pod); action == "" || ready {
			continue
		}
		status, err := m.api.Status(ctx, action)
		if err != nil || status.Status != propagator.StatusError {
			continue // not this propagator's, or still under way
		}
		slog.Warn("removing a pod whose restore has failed", "namespace", pod.Namespace, "pod", pod.Name, "reason", status.Details)
		if err := m.restorer.remove(ctx, pod); err != nil {
			slog.Error("removing a pod whose restore has failed", "error", err)
		}
	}
}

func (m *manager) forgetGone(ctx context.Context) error {
	known, err := m.queue.KnownPods(ctx)
	if err != nil {
		return err
	}
	for _, name := range known {
		if _, there, err := m.pods.GetStore().GetByKey(name.Namespace + "/" + name.Name); err != nil || there {
			continue
		}
		gone := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
		if err := m.reporter.tell(ctx, "Pod", gone, true); err != nil {
			return err
		}
	}
	return nil
}
