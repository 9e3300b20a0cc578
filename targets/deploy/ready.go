package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/releaseutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	// pollInterval is how often the cluster is looked at; one look is a handful of small requests.
	pollInterval = 150 * time.Millisecond
	// hopelessFor is how long a pod may be in a state that does not mend by itself. Not zero: an image that is being
	// imported may come a moment late.
	hopelessFor = 15 * time.Second
	// pullsFor is for four tries of the kubelet to pull an image, which are 10, 20 and 40 s apart.
	pullsFor = 80 * time.Second
)

// hopeless are the reasons a container waits for that no waiting mends, with how long they are waited for.
var hopeless = map[string]time.Duration{
	"ErrImageNeverPull": hopelessFor, "InvalidImageName": hopelessFor, "CreateContainerConfigError": hopelessFor,
	"ErrImagePull": pullsFor, "ImagePullBackOff": pullsFor,
}

// noImage are the reasons a container waits for whose image cannot be had.
var noImage = map[string]bool{"ErrImagePull": true, "ImagePullBackOff": true, "ErrImageNeverPull": true, "InvalidImageName": true}

// workload is an object of the release that makes pods.
type workload struct{ kind, namespace, name string }

func (w workload) String() string { return w.kind + " " + w.name }

// workloads finds those of a release's manifest.
func workloads(manifest, namespace string) ([]workload, error) {
	var out []workload
	for _, doc := range releaseutil.SplitManifests(manifest) {
		var object struct {
			Kind     string            `json:"kind"`
			Metadata metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
			return nil, fmt.Errorf("read manifest of release %s: %w", ReleaseName, err)
		}
		switch object.Kind {
		case "DaemonSet", "Deployment", "StatefulSet":
			w := workload{object.Kind, object.Metadata.Namespace, object.Metadata.Name}
			if w.namespace == "" {
				w.namespace = namespace
			}
			out = append(out, w)
		}
	}
	return out, nil
}

// gate waits until a release can be used. Helm's own wait is not used: it takes a DaemonSet as ready while up to
// maxUnavailable pods are not, and Cedana's chart sets that to 99999; it looks every 2 s; and its error names no pod.
type gate struct {
	client    kubernetes.Interface
	namespace string
	// instance is the label app.kubernetes.io/instance of the release's pods.
	instance  string
	workloads []workload
	mask      mask.Mask
	poll      time.Duration
}

// look is what one look at the release found missing.
type look struct {
	missing []string
	// pods that are not ready.
	pods []corev1.Pod
	// total is how many pods there are.
	total int
}

func (l look) String() string {
	return fmt.Sprintf("%d of %d pods ready; %s", l.total-len(l.pods), l.total, strings.Join(l.missing, "; "))
}

func (g gate) wait(ctx context.Context, step *console.Step) error {
	var last look
	var lastErr error
	hopelessSince := map[string]time.Time{}
	for {
		now, err := g.look(ctx)
		switch {
		case err == nil && len(now.missing) == 0:
			step.Note("%d pods", now.total)
			return nil
		case err == nil:
			last, lastErr = now, nil
			step.Set("%s", now)
			if pod := lost(now.pods, hopelessSince, time.Now()); pod != "" {
				return g.report(ctx, last, fmt.Errorf("pod %s cannot become ready", pod))
			}
		case ctx.Err() == nil:
			// The API server may be busy or restarting; the deadline decides.
			lastErr = err
			step.Set("%v", err)
		}
		select {
		case <-ctx.Done():
			return g.report(ctx, last, errors.Join(context.Cause(ctx), lastErr))
		case <-time.After(g.poll):
		}
	}
}

// lost names a pod that has been in a hopeless state for long enough.
func lost(pods []corev1.Pod, since map[string]time.Time, now time.Time) string {
	for _, p := range pods {
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			key := p.Name + "/" + c.Name
			var limit time.Duration
			if c.State.Waiting != nil {
				limit = hopeless[c.State.Waiting.Reason]
			}
			if limit == 0 {
				delete(since, key)
				continue
			}
			if since[key].IsZero() {
				since[key] = now
			}
			if now.Sub(since[key]) >= stretch.Limit(limit) {
				return p.Name
			}
		}
	}
	return ""
}

func (g gate) look(ctx context.Context) (look, error) {
	var l look
	for _, w := range g.workloads {
		missing, err := g.workload(ctx, w)
		if err != nil {
			return l, fmt.Errorf("read %s: %w", w, err)
		}
		if missing != "" {
			l.missing = append(l.missing, w.String()+": "+missing)
		}
	}
	pods, err := g.client.CoreV1().Pods(g.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + g.instance})
	if err != nil {
		return l, fmt.Errorf("list pods of release %s: %w", g.instance, err)
	}
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		l.total++
		if state := podState(&p); state != "" {
			l.pods = append(l.pods, p)
			l.missing = append(l.missing, "pod "+p.Name+": "+state)
		}
	}
	if l.total == 0 {
		l.missing = append(l.missing, "no pod has the label app.kubernetes.io/instance="+g.instance)
	}
	return l, nil
}

// workload says what a workload waits for; nothing when it is rolled out.
func (g gate) workload(ctx context.Context, w workload) (string, error) {
	apps := g.client.AppsV1()
	switch w.kind {
	case "DaemonSet":
		d, err := apps.DaemonSets(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return rollout(d.Generation, d.Status.ObservedGeneration, d.Status.DesiredNumberScheduled,
			d.Status.UpdatedNumberScheduled, d.Status.NumberReady, d.Status.CurrentNumberScheduled), nil
	case "Deployment":
		d, err := apps.Deployments(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return rollout(d.Generation, d.Status.ObservedGeneration, replicas(d.Spec.Replicas),
			d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.Replicas), nil
	case "StatefulSet":
		d, err := apps.StatefulSets(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return rollout(d.Generation, d.Status.ObservedGeneration, replicas(d.Spec.Replicas),
			d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.Replicas), nil
	}
	return "", fmt.Errorf("no such kind of workload")
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func rollout(generation, observed int64, desired, updated, ready, existing int32) string {
	switch {
	case observed < generation:
		return "not yet seen by its controller"
	case desired == 0:
		return "wants no pod (does a node fit its node selector and tolerations?)"
	case updated != desired:
		return fmt.Sprintf("%d of %d pods are of the new revision", updated, desired)
	case ready != desired:
		return fmt.Sprintf("%d of %d pods are ready", ready, desired)
	case existing > desired:
		return fmt.Sprintf("%d old pods are still there", existing-desired)
	}
	return ""
}

// podState says why a pod is not ready; nothing when it is.
func podState(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "is being deleted"
	}
	var parts []string
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if state := containerState(c); state != "" {
			parts = append(parts, c.Name+" "+state)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return ""
		}
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			parts = append(parts, "not scheduled: "+firstLine(c.Message))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, strings.ToLower(string(p.Status.Phase)))
	}
	return strings.Join(parts, ", ")
}

func containerState(c corev1.ContainerStatus) string {
	var text string
	switch {
	case c.State.Waiting != nil:
		text = "waits: " + c.State.Waiting.Reason
		if m := firstLine(c.State.Waiting.Message); m != "" {
			text += " (" + m + ")"
		}
	case c.State.Terminated != nil:
		if c.State.Terminated.ExitCode == 0 {
			return ""
		}
		text = exit(c.State.Terminated)
	case c.State.Running != nil && !c.Ready:
		text = "runs, its probe does not succeed yet"
	default:
		return ""
	}
	if t := c.LastTerminationState.Terminated; t != nil {
		text += ", before that " + exit(t)
	}
	if c.RestartCount > 0 {
		text += fmt.Sprintf(", %d restarts", c.RestartCount)
	}
	return text
}

func exit(t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("ended with %d", t.ExitCode)
	if t.Reason != "" {
		text += " " + t.Reason
	}
	if m := firstLine(t.Message); m != "" {
		text += " (" + m + ")"
	}
	return text
}
