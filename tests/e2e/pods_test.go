//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// What an init container has made is there in the restored pod, and it was not run a second time.
func TestPodInitContainer(t *testing.T) {
	s := begin(t)
	const file = "/data/init"
	p := s.Start(pods.Counter(s.CounterImage(),
		pods.Init("prepare", s.Env.ImageNginx, "sh", "-c", "echo prepared >> "+file), pods.InitEmptyDir("data", "/data"),
		pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")))
	fixture.Equal(s, file+", which the init container has made,", "prepared\n", s.Read(p, pods.CounterPort, file))
	r := s.CheckpointAndRestore(p)
	fixture.Equal(s, file+", with one line of the one run of the init container,", "prepared\n", s.Read(r.Pod, pods.CounterPort, file))
}

// A sidecar, an init container that goes on beside the others, goes on from the same moment as they do,
// though they share no volume.
func TestPodSidecar(t *testing.T) {
	s := begin(t)
	p := s.Start(pods.Counter(s.CounterImage(), pods.Peer(pods.CounterPort+1),
		pods.CounterContainer("proxy", s.CounterImage(), pods.CounterPort+1), pods.Peer(pods.CounterPort), pods.Sidecar()))
	r := s.CheckpointAndRestore(p)
	// The sidecar was started first.
	s.LogGoesOn(r.Pod, "proxy", r.Now[0])
	s.LogGoesOn(r.Pod, "counter", r.Now[1])
}

// A restored pod is started, ready and alive for its three probes because of what it had at its checkpoint, and each of
// them still does what it is for: a pod that is not ready gets no requests, one that is not alive is restarted.
func TestPodProbes(t *testing.T) {
	s := begin(t)
	s.Service("counter", pods.CounterPort)
	const started, ready, alive = "/probes/started", "/probes/ready", "/probes/alive"
	read := func(path string) string { return "/read?path=" + path }
	p := s.Running(s.Create(pods.Counter(s.CounterImage(), pods.Probes(pods.CounterPort, read(started), read(ready), read(alive)))))
	// Nothing is at those paths in the image: a pod that is started afresh never gets Ready.
	s.Answers(p, pods.CounterPort)
	for _, path := range []string{ready, alive, started} {
		s.Write(p, pods.CounterPort, path, "yes")
	}
	p = s.Ready(p)
	r := s.CheckpointAndRestore(p)
	s.Endpoints("counter", r.Status.PodIP)
	s.Get(r.Pod, pods.CounterPort, "/remove", map[string]string{"path": ready})
	s.Until(r.Pod, "not to be Ready, because its readiness probe fails", func(p *corev1.Pod) bool { return !pods.IsReady(p) })
	s.Endpoints("counter")
	s.Write(r.Pod, pods.CounterPort, ready, "again")
	s.Until(r.Pod, "to be Ready again", pods.IsReady)
	s.Endpoints("counter", r.Status.PodIP)
	s.Get(r.Pod, pods.CounterPort, "/remove", map[string]string{"path": alive})
	s.Until(r.Pod, "to be restarted, because its liveness probe fails", func(p *corev1.Pod) bool { return pods.Restarts(p) > 0 })
}

// A Deployment replaces its pod when that is deleted; the restored pod is one more, which the Deployment neither counts
// nor takes away.
func TestPodOfADeployment(t *testing.T) {
	s := begin(t)
	one := int32(1)
	template := pods.Counter(s.CounterImage())
	api := s.Kube.AppsV1().Deployments(s.Namespace)
	_, err := api.Create(s.Ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "counters"},
		Spec:       appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: s.Template(template)},
	}, metav1.CreateOptions{})
	s.Must(err, "create deployment counters")
	p := s.Ready(s.Owned(template))
	var replacement *corev1.Pod
	r := s.CheckpointAndRestore(p, steps.BeforeRestore(func() { replacement = s.Ready(s.Owned(template)) }))
	s.Ownerless(r.Restored)
	d, err := api.Get(s.Ctx, "counters", metav1.GetOptions{})
	s.Must(err, "get deployment counters")
	fixture.Equal(s, "the number of the deployment's replicas", 1, d.Status.Replicas)
	fixture.Equal(s, "the number of its ready replicas", 1, d.Status.ReadyReplicas)
	now := s.Pods.Get(replacement.UID)
	s.That(now != nil && pods.IsReady(now) && pods.Restarts(now) == 0, "the deployment's own pod "+replacement.Name+" is left as it was", pods.Describe(now))
}

// A Job that was suspended has no pod; one restored from its checkpoint goes on to its end and is not the Job's.
func TestPodOfAJob(t *testing.T) {
	s := begin(t)
	suspended := true
	template := pods.Counter(s.CounterImage(), pods.Restart(corev1.RestartPolicyNever))
	api := s.Kube.BatchV1().Jobs(s.Namespace)
	job, err := api.Create(s.Ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "count"}, Spec: batchv1.JobSpec{Template: s.Template(template)},
	}, metav1.CreateOptions{})
	s.Must(err, "create job count")
	p := s.Ready(s.Owned(template))
	r := s.CheckpointAndRestore(p, steps.RemovedBy(func(p *corev1.Pod) {
		err := wait.For(s.Ctx, "job count to be suspended", fixture.Soon, func(ctx context.Context) (bool, string, error) {
			var err error
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
		s.Must(err, "suspend job count")
		s.Vanished(p)
	}))
	s.Ownerless(r.Restored)
	s.Get(r.Pod, pods.CounterPort, "/exit", map[string]string{"code": "0"})
	s.Until(r.Pod, "to have succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	now, err := api.Get(s.Ctx, "count", metav1.GetOptions{})
	s.Must(err, "get job count")
	fixture.Equal(s, "what the job counts, as before the restore,", jobCounts(job), jobCounts(now))
}

func jobCounts(j *batchv1.Job) string {
	return fmt.Sprintf("%d active, %d succeeded, %d failed", j.Status.Active, j.Status.Succeeded, j.Status.Failed)
}

// A name at one of the limits, and the longest that the kubelet can start a pod of, gives a restored pod of a name that
// is valid and that the kubelet can start too.
func TestPodLongNames(t *testing.T) {
	s := begin(t)
	for _, length := range []int{validation.DNS1123LabelMaxLength, pods.LongestName(s.Namespace)} {
		name := strings.Repeat("long-name.", 25)[:length-1] + "e"
		p := s.Start(pods.Counter(s.CounterImage(), pods.Labelled("app", "long"), func(p *corev1.Pod) { p.Name = name }))
		r := s.CheckpointAndRestore(p)
		s.That(len(validation.IsDNS1123Subdomain(r.Name)) == 0, "the name of the restored pod is valid", validation.IsDNS1123Subdomain(r.Name))
		s.Logf("a name of %d characters gives one of %d", length, len(r.Name))
	}
}

// Of two pods of which one's name is the beginning of the other's, the one that was asked for is checkpointed.
func TestPodNamePrefixes(t *testing.T) {
	s := begin(t)
	list := []*corev1.Pod{
		s.Create(pods.Counter(s.CounterImage(), pods.Named("twin"))),
		s.Create(pods.Counter(s.CounterImage(), pods.Named("twin-b"))),
		s.Create(pods.Counter(s.CounterImage(), pods.Named("twin-b-restored-not"))),
	}
	for i := range list {
		list[i] = s.Ready(list[i])
	}
	// All are known before the first checkpoint, so that one of the wrong pod is told by its name.
	var counters []*checks.Counter
	for _, p := range list {
		counters = append(counters, s.Before(p, pods.CounterPort))
	}
	var taken []*steps.Checkpoint
	for i, p := range list {
		taken = append(taken, s.Checkpoint(p))
		s.After(p, counters[i])
	}
	for _, p := range list {
		s.Remove(p)
	}
	for i, c := range taken {
		r, _ := s.RestoreCounters(c, counters[i:i+1])
		s.Alone(r)
	}
}
