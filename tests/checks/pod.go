package checks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Until waits until a pod is as wanted.
func (c *Checks) Until(p *corev1.Pod, what string, holds func(*corev1.Pod) bool) {
	c.Helper()
	err := wait.For(c.Ctx, fmt.Sprintf("pod %s/%s %s", p.Namespace, p.Name, what), c.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := c.Pods.Get(p.UID)
		return now != nil && holds(now), pods.Describe(now), nil
	}, wait.Every(fixture.Look))
	c.Must(err, "watch pod %s", p.Name)
}

// Running waits until every container of a pod runs, Ready or not.
func (c *Checks) Running(p *corev1.Pod) *corev1.Pod {
	c.Helper()
	c.Until(p, "to run", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" &&
			!slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running == nil })
	})
	return c.Pods.Get(p.UID)
}

// Vanished waits until a pod that somebody else deletes is gone.
func (c *Checks) Vanished(p *corev1.Pod) {
	c.Helper()
	err := wait.For(c.Ctx, fmt.Sprintf("pod %s/%s to be gone", p.Namespace, p.Name), c.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := c.Pods.Get(p.UID)
		return now == nil, pods.Describe(now), nil
	}, wait.Every(fixture.Look))
	c.Must(err, "watch pod %s go", p.Name)
}

// Steady waits until a pod has been Ready for so long since a time, 0 meaning until now.
func (c *Checks) Steady(p *corev1.Pod, since time.Time, long time.Duration) {
	c.Helper()
	var broken *fixture.Observation
	left := max(long-time.Since(since), 0)
	err := wait.While(c.Ctx, fmt.Sprintf("pod %s/%s to stay Ready", p.Namespace, p.Name), left, func(context.Context) (bool, string, error) {
		broken = c.Pods.Unsteady(p.UID, since)
		return broken == nil, pods.Describe(c.Pods.Get(p.UID)), nil
	})
	if broken != nil {
		c.Unexpected(fmt.Sprintf("pod %s stays Ready with 0 restarts", p.Name),
			fmt.Sprintf("after %s: %s", broken.At.Sub(since).Round(time.Millisecond), broken.State))
	}
	c.Must(err, "watch pod %s stay Ready", p.Name)
}

// Present is every pod that the namespace has now, asked of the API.
func (c *Checks) Present() map[types.UID]bool {
	c.Helper()
	list, err := c.Kube.CoreV1().Pods(c.Namespace).List(c.Ctx, metav1.ListOptions{})
	c.Must(err, "list pods")
	there := map[types.UID]bool{}
	for _, p := range list.Items {
		there[p.UID] = true
	}
	return there
}

// Endpoints waits until a service sends requests to the pods of these addresses, and to no other.
func (c *Checks) Endpoints(service string, want ...string) {
	c.Helper()
	err := wait.For(c.Ctx, fmt.Sprintf("service %s to have the endpoints %v", service, want), stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		list, err := c.Kube.DiscoveryV1().EndpointSlices(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
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
	c.Must(err, "watch the endpoints of service %s", service)
}

// Ownerless checks that no controller takes a restored pod for its own, and returns the pod as it is. A Deployment, a Job
// and their like have made another pod by then, or want none, and would take the restored one away as one too many.
func (c *Checks) Ownerless(p *corev1.Pod) *corev1.Pod {
	c.Helper()
	now, err := c.Kube.CoreV1().Pods(c.Namespace).Get(c.Ctx, p.Name, metav1.GetOptions{})
	c.Must(err, "get pod %s", p.Name)
	c.That(metav1.GetControllerOf(now) == nil, "the restored pod "+p.Name+" belongs to no controller", fmt.Sprintf("%+v", now.OwnerReferences))
	return now
}

// HostName checks that a counter's process has the host name that the files of its restored pod have: a program that looks
// its own name up gets the address of its own pod.
func (c *Checks) HostName(p *corev1.Pod, port int) {
	c.Helper()
	name := strings.TrimSpace(c.Read(p, port, "/etc/hostname"))
	c.Check(NamedByHosts(c.Read(p, port, "/etc/hosts"), p.Status.PodIP, name))
	is := strings.TrimSpace(c.Read(p, port, "/proc/sys/kernel/hostname"))
	c.That(is == name, "the host name in the restored pod is "+name+", as in its /etc/hosts", is)
}

// NamedByHosts is nil when a hosts file has a name at an address.
func NamedByHosts(hosts, address, name string) error {
	for line := range strings.Lines(hosts) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == address && slices.Contains(fields[1:], name) {
			return nil
		}
	}
	return fixture.Expect(false, fmt.Sprintf("/etc/hosts has %s at the pod's address %s", name, address), fixture.Short(hosts))
}

// Ended waits until a container has ended, and says how.
func (c *Checks) Ended(p *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	c.Helper()
	var ended *corev1.ContainerStateTerminated
	err := wait.For(c.Ctx, fmt.Sprintf("container %s of pod %s to end", container, p.Name), stretch.Limit(fixture.Soon), func(context.Context) (bool, string, error) {
		now := c.Pods.Get(p.UID)
		ended = pods.Ended(now, container)
		return ended != nil, pods.Describe(now), nil
	}, wait.Every(fixture.Look))
	c.Must(err, "watch container %s end", container)
	return ended
}
