//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// What an init container has made is there in the restored pod, and it was not run a second time.
func TestPodInitContainer(t *testing.T) {
	s := begin(t, environment.Full)
	const file = "/data/init"
	p := s.start(pods.Counter(s.counterImage(),
		pods.Init("prepare", env.ImageNginx, "sh", "-c", "echo prepared >> "+file), pods.InitEmptyDir("data", "/data"),
		pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	equal(s, file+", which the init container has made,", "prepared\n", s.read(p, pods.CounterPort, file))
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)

	r := s.restore(c)
	s.survived(r, m)
	equal(s, file+", with one line of the one run of the init container,", "prepared\n", s.read(r.Pod, pods.CounterPort, file))
	s.settle(r)
}

// A sidecar, an init container that goes on beside the others, goes on from the same moment as they do.
func TestPodSidecar(t *testing.T) {
	s := begin(t, environment.Full)
	const proxy = pods.CounterPort + 1
	p := s.start(pods.Counter(s.counterImage(), pods.CounterContainer("proxy", s.counterImage(), proxy), pods.Sidecar()))
	a, b := s.before(p, pods.CounterPort), s.before(p, proxy)
	c := s.checkpoint(p)
	s.after(p, a)
	s.after(p, b)
	s.remove(p)

	r := s.restore(c)
	s.speaks(r.Pod, "counter", s.survived(r, a))
	s.speaks(r.Pod, "proxy", s.survived(r, b))
	s.settle(r)
}

// A restored pod is started, ready and alive for its three probes because of what it had at its checkpoint, and each of
// them still does what it is for: a pod that is not ready gets no requests, one that is not alive is restarted.
func TestPodProbes(t *testing.T) {
	s := begin(t, environment.Full)
	_, err := kube.CoreV1().Services(s.namespace).Create(s.ctx, pods.Service("counter", pods.CounterPort), metav1.CreateOptions{})
	s.must(err, "create service counter")
	const started, ready, alive = "/probes/started", "/probes/ready", "/probes/alive"
	read := func(path string) string { return "/read?path=" + path }
	p := s.running(s.create(pods.Counter(s.counterImage(), pods.Probes(pods.CounterPort, read(started), read(ready), read(alive)))))
	// Nothing is at those paths in the image: a pod that is started afresh never gets Ready.
	s.answers(p, pods.CounterPort)
	for _, path := range []string{ready, alive, started} {
		s.write(p, pods.CounterPort, path, "yes")
	}
	p = s.ready(p)
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)

	r := s.restore(c)
	s.survived(r, m)
	s.settle(r)
	s.endpoints("counter", r.Status.PodIP)
	s.get(r.Pod, pods.CounterPort, "/remove", map[string]string{"path": ready})
	s.until(r.Pod, "not to be Ready, because its readiness probe fails", func(p *corev1.Pod) bool { return !pods.IsReady(p) })
	s.endpoints("counter")
	s.write(r.Pod, pods.CounterPort, ready, "again")
	s.until(r.Pod, "to be Ready again", pods.IsReady)
	s.endpoints("counter", r.Status.PodIP)
	s.get(r.Pod, pods.CounterPort, "/remove", map[string]string{"path": alive})
	s.until(r.Pod, "to be restarted, because its liveness probe fails", func(p *corev1.Pod) bool { return pods.Restarts(p) > 0 })
}

// running waits until every container of a pod runs, Ready or not.
func (s *scene) running(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	s.until(p, "to run", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" &&
			!slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running == nil })
	})
	return s.pods.Get(p.UID)
}

// answers waits until a counter listens: a pod that runs and is not Ready may not yet.
func (s *scene) answers(p *corev1.Pod, port int) {
	s.Helper()
	err := wait.For(s.ctx, fmt.Sprintf("pod %s/%s to answer on port %d", p.Namespace, p.Name, port), env.PodTimeout.Duration, func(ctx context.Context) (bool, string, error) {
		_, err := s.tryGet(ctx, p, port, "/state", nil)
		return err == nil, fmt.Sprintf("%v; %s", err, pods.Describe(s.pods.Get(p.UID))), nil
	})
	s.must(err, "ask pod %s", p.Name)
}

// until waits until a pod is as wanted.
func (s *scene) until(p *corev1.Pod, what string, holds func(*corev1.Pod) bool) {
	s.Helper()
	err := wait.For(s.ctx, fmt.Sprintf("pod %s/%s %s", p.Namespace, p.Name, what), env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := s.pods.Get(p.UID)
		return now != nil && holds(now), pods.Describe(now), nil
	}, wait.Every(look))
	s.must(err, "watch pod %s", p.Name)
}

// endpoints waits until a service sends requests to the pods of these addresses, and to no other.
func (s *scene) endpoints(service string, want ...string) {
	s.Helper()
	err := wait.For(s.ctx, fmt.Sprintf("service %s to have the endpoints %v", service, want), soon, func(ctx context.Context) (bool, string, error) {
		list, err := kube.DiscoveryV1().EndpointSlices(s.namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
		if err != nil {
			return false, "", err
		}
		var ready []string
		for _, slice := range list.Items {
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready {
					ready = append(ready, e.Addresses...)
				}
			}
		}
		return slices.Equal(ready, want), fmt.Sprint(ready), nil
	})
	s.must(err, "watch the endpoints of service %s", service)
}

// A Deployment replaces its pod when that is deleted; the restored pod is one more, which the Deployment neither counts
// nor takes away.
func TestPodOfADeployment(t *testing.T) {
	s := begin(t, environment.Full)
	one := int32(1)
	template := pods.Counter(s.counterImage())
	api := kube.AppsV1().Deployments(s.namespace)
	_, err := api.Create(s.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "counters"},
		Spec:       appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: s.template(template)},
	}, metav1.CreateOptions{})
	s.must(err, "create deployment counters")
	p := s.ready(s.owned(template))
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	s.remove(p)
	replacement := s.ready(s.owned(template))

	r := s.restore(c)
	s.survived(r, m)
	s.settle(r)
	s.ownerless(r)
	d, err := api.Get(s.ctx, "counters", metav1.GetOptions{})
	s.must(err, "get deployment counters")
	equal(s, "the number of the deployment's replicas", 1, d.Status.Replicas)
	equal(s, "the number of its ready replicas", 1, d.Status.ReadyReplicas)
	now := s.pods.Get(replacement.UID)
	s.that(now != nil && pods.IsReady(now) && pods.Restarts(now) == 0, "the deployment's own pod "+replacement.Name+" is left as it was", pods.Describe(now))
}

// A Job that was suspended has no pod; one restored from its checkpoint goes on to its end and is not the Job's.
func TestPodOfAJob(t *testing.T) {
	s := begin(t, environment.Full)
	suspended := true
	template := pods.Counter(s.counterImage(), pods.Restart(corev1.RestartPolicyNever))
	api := kube.BatchV1().Jobs(s.namespace)
	job, err := api.Create(s.ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "count"}, Spec: batchv1.JobSpec{Template: s.template(template)},
	}, metav1.CreateOptions{})
	s.must(err, "create job count")
	p := s.ready(s.owned(template))
	m := s.before(p, pods.CounterPort)
	c := s.checkpoint(p)
	s.after(p, m)
	err = wait.For(s.ctx, "job count to be suspended", soon, func(ctx context.Context) (bool, string, error) {
		if job, err = api.Get(ctx, "count", metav1.GetOptions{}); err != nil {
			return false, "", err
		}
		if job.Spec.Suspend == nil || !*job.Spec.Suspend {
			job.Spec.Suspend = &suspended
			// Somebody else may have changed the job meanwhile: the next look tries again.
			_, err = api.Update(ctx, job, metav1.UpdateOptions{})
			return false, fmt.Sprintf("update: %v", err), nil
		}
		return job.Status.Active == 0, fmt.Sprintf("%+v", job.Status), nil
	})
	s.must(err, "suspend job count")
	s.vanished(p)

	r := s.restore(c)
	s.survived(r, m)
	s.settle(r)
	s.ownerless(r)
	s.get(r.Pod, pods.CounterPort, "/exit", map[string]string{"code": "0"})
	s.until(r.Pod, "to have succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	now, err := api.Get(s.ctx, "count", metav1.GetOptions{})
	s.must(err, "get job count")
	equal(s, "what the job counts, as before the restore,", jobCounts(job), jobCounts(now))
}

func jobCounts(j *batchv1.Job) string {
	return fmt.Sprintf("%d active, %d succeeded, %d failed", j.Status.Active, j.Status.Succeeded, j.Status.Failed)
}

// vanished waits until a pod that somebody else deletes is gone.
func (s *scene) vanished(p *corev1.Pod) {
	s.Helper()
	err := wait.For(s.ctx, fmt.Sprintf("pod %s/%s to be gone", p.Namespace, p.Name), env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := s.pods.Get(p.UID)
		return now == nil, pods.Describe(now), nil
	}, wait.Every(look))
	s.must(err, "watch pod %s go", p.Name)
}

// template makes a pod one for a controller to make pods of.
func (s *scene) template(p *corev1.Pod) corev1.PodTemplateSpec {
	spec := *p.Spec.DeepCopy()
	if reserved != "" {
		pods.AvoidIn(&spec, reserved)
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels, Annotations: p.Annotations}, Spec: spec}
}

// owned waits for the pod that a controller makes of a template.
func (s *scene) owned(template *corev1.Pod) *corev1.Pod {
	s.Helper()
	var found *corev1.Pod
	err := wait.For(s.ctx, "a controller to make a pod of "+template.Name, env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		list := s.pods.List()
		i := slices.IndexFunc(list, func(p *corev1.Pod) bool { return p.DeletionTimestamp == nil && metav1.GetControllerOf(p) != nil })
		if i >= 0 {
			found = list[i]
		}
		return i >= 0, pods.Names(list), nil
	}, wait.Every(look))
	s.must(err, "wait for a pod of %s", template.Name)
	// What the controller put on it beside the template is the controller's.
	s.origins[found.UID] = template
	return found
}

// ownerless checks that no controller takes a restored pod for its own. A Deployment, a Job and their like have made
// another pod by then, or want none, and would take the restored one away as one too many.
func (s *scene) ownerless(r *restored) {
	s.Helper()
	now, err := kube.CoreV1().Pods(s.namespace).Get(s.ctx, r.Name, metav1.GetOptions{})
	s.must(err, "get pod %s", r.Name)
	s.that(metav1.GetControllerOf(now) == nil, "the restored pod "+r.Name+" belongs to no controller", fmt.Sprintf("%+v", now.OwnerReferences))
	if env.Backend == settings.BackendLocal {
		s.that(len(now.OwnerReferences) == 0, "it has no owner at all", fmt.Sprintf("%+v", now.OwnerReferences))
	}
}

// A name at one of the limits, and the longest that the kubelet can start a pod of, gives a restored pod of a name that
// is valid and that the kubelet can start too.
func TestPodLongNames(t *testing.T) {
	s := begin(t, environment.Full)
	for _, length := range []int{validation.DNS1123LabelMaxLength, pods.LongestName(s.namespace)} {
		name := strings.Repeat("long-name.", 25)[:length-1] + "e"
		p := s.start(pods.Counter(s.counterImage(), pods.Labelled("app", "long"), func(p *corev1.Pod) { p.Name = name }))
		m := s.before(p, pods.CounterPort)
		c := s.checkpoint(p)
		s.after(p, m)
		s.remove(p)
		r := s.restore(c)
		s.survived(r, m)
		s.that(len(validation.IsDNS1123Subdomain(r.Name)) == 0, "the name of the restored pod is valid", validation.IsDNS1123Subdomain(r.Name))
		s.note("a name of %d characters gives one of %d", length, len(r.Name))
		s.settle(r)
	}
}

// Of two pods of which one's name is the beginning of the other's, the one that was asked for is checkpointed.
func TestPodNamePrefixes(t *testing.T) {
	s := begin(t, environment.Full)
	list := []*corev1.Pod{
		s.create(pods.Counter(s.counterImage(), pods.Named("twin"))),
		s.create(pods.Counter(s.counterImage(), pods.Named("twin-b"))),
		s.create(pods.Counter(s.counterImage(), pods.Named("twin-b-restored-not"))),
	}
	var all []*moments
	for i := range list {
		list[i] = s.ready(list[i])
		all = append(all, s.before(list[i], pods.CounterPort))
	}
	var taken []*checkpoint
	for i, p := range list {
		taken = append(taken, s.checkpoint(p))
		s.after(p, all[i])
	}
	for _, p := range list {
		s.remove(p)
	}
	for i, c := range taken {
		r := s.restore(c)
		s.survived(r, all[i])
		s.alone(r)
	}
}
