// Package artifacts keeps what is needed to understand a failed test after its pods are gone.
package artifacts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// cedanaTail is how many of the last lines of Cedana's own pods are kept.
const cedanaTail = 2000

// MeasuredDir is in the directory for all tests. It has what they have measured: a table for people in NAME.txt, which the end
// of the run prints, and the same for programs in NAME.json.
const MeasuredDir = "measured"

// OtherGroupsFile is in the directory for all tests. It says in one line how many tests other groups have. It is there when
// SUITE chose the tests and E2E_RUN did not.
const OtherGroupsFile = "other-groups.txt"

// TryFile is the page that `mage try` is run for.
const TryFile = "try.md"

// RefusalsFile is in the directory for all tests: the table of TestRestoreRefused.
const RefusalsFile = "refusals.md"

// WorkloadsFile is in the directory for all tests: the table of SUITE=workloads.
const WorkloadsFile = "workloads.md"

// Directory is where one test's artifacts go. The secret is masked in all that is written.
type Directory struct {
	Path   string
	Secret settings.Secret
}

// Write writes one file; name may have directories.
func (d *Directory) Write(name string, content []byte) error {
	path := filepath.Join(d.Path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write artifact %s: %w", name, err)
	}
	if d.Secret.Set() {
		content = []byte(strings.ReplaceAll(string(content), d.Secret.Reveal(), d.Secret.String()))
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("write artifact %s: %w", name, err)
	}
	return nil
}

// WriteJSON writes a value as indented JSON.
func (d *Directory) WriteJSON(name string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write artifact %s: %w", name, err)
	}
	return d.Write(name, append(content, '\n'))
}

// WriteLines writes one line for each value.
func WriteLines[T any](d *Directory, name string, list []T) error {
	var b strings.Builder
	for _, v := range list {
		fmt.Fprintln(&b, v)
	}
	return d.Write(name, []byte(b.String()))
}

// Namespace writes pods.yaml, events.txt and the logs of every container of a namespace, current and previous. What
// cannot be had does not keep the rest from being written; its reasons are the error.
func (d *Directory) Namespace(ctx context.Context, client kubernetes.Interface, namespace string) error {
	list, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list pods in %s: %w", namespace, err)
	}
	return errors.Join(
		d.pods("pods.yaml", list.Items),
		d.events(ctx, client, namespace),
		d.logs(ctx, client, "logs", list.Items, 0),
	)
}

// Cedana writes the pods and the last log lines of the namespace that Cedana runs in.
func (d *Directory) Cedana(ctx context.Context, client kubernetes.Interface, namespace string) error {
	list, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list pods in %s: %w", namespace, err)
	}
	return errors.Join(
		d.pods("cedana/pods.yaml", list.Items),
		d.logs(ctx, client, "cedana", list.Items, cedanaTail),
	)
}

func (d *Directory) pods(name string, items []corev1.Pod) error {
	var b strings.Builder
	for i := range items {
		p := items[i].DeepCopy()
		p.ManagedFields = nil
		content, err := yaml.Marshal(p)
		if err != nil {
			return fmt.Errorf("write pod %s: %w", p.Name, err)
		}
		fmt.Fprintf(&b, "---\n%s", content)
	}
	return d.Write(name, []byte(b.String()))
}

func (d *Directory) events(ctx context.Context, client kubernetes.Interface, namespace string) error {
	list, err := client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list events in %s: %w", namespace, err)
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	var b strings.Builder
	for _, e := range list.Items {
		fmt.Fprintf(&b, "%s %s %s/%s %s: %s (%d times)\n", eventTime(e).UTC().Format(time.RFC3339), e.Type,
			e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message, max(e.Count, 1))
	}
	return d.Write("events.txt", []byte(b.String()))
}

// eventTime is the latest of an event's times: any of them may be missing.
func eventTime(e corev1.Event) time.Time {
	latest := e.CreationTimestamp.Time
	for _, t := range []time.Time{e.EventTime.Time, e.FirstTimestamp.Time, e.LastTimestamp.Time} {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

// logs reads each container by itself: a request for all of a pod's fails whole when one of them has none.
func (d *Directory) logs(ctx context.Context, client kubernetes.Interface, dir string, items []corev1.Pod, tail int64) error {
	var errs []error
	for _, p := range items {
		restarts := map[string]int32{}
		for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			restarts[s.Name] = s.RestartCount
		}
		for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
			name := filepath.Join(dir, p.Name+"."+c.Name)
			errs = append(errs, d.log(ctx, client, &p, c.Name, name+".log", tail, false))
			if restarts[c.Name] > 0 {
				errs = append(errs, d.log(ctx, client, &p, c.Name, name+".previous.log", tail, true))
			}
		}
	}
	return errors.Join(errs...)
}

func (d *Directory) log(
	ctx context.Context, client kubernetes.Interface, p *corev1.Pod, container, name string, tail int64, previous bool,
) error {
	opts := &corev1.PodLogOptions{Container: container, Previous: previous, Timestamps: true}
	if tail > 0 {
		opts.TailLines = &tail
	}
	content, err := client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, opts).DoRaw(ctx)
	if err != nil {
		// In the file too, where one looks for the log.
		content = fmt.Appendf(nil, "no log: %v\n", err)
		err = fmt.Errorf("read log of %s/%s container %s: %w", p.Namespace, p.Name, container, err)
	}
	return errors.Join(err, d.Write(name, content))
}
