package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	reportTimeout = 10 * time.Second
	reportLines   = 10
	reportEvents  = 5
)

// report turns the reason a wait ended for into an error that has each pod's last state, its last log lines and the
// latest warnings. Somebody who pressed Ctrl-C gets the last state only.
func (g gate) report(ctx context.Context, last look, reason error) error {
	text := fmt.Sprintf("wait until the pods of release %s in namespace %s are ready: %s", g.instance, g.namespace, last)
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return fmt.Errorf("%s: %w", text, reason)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(reportTimeout))
	defer cancel()
	var b strings.Builder
	imageless := false
	for _, p := range last.pods {
		statuses := append(append([]corev1.ContainerStatus{}, p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...)
		for _, c := range statuses {
			g.logs(ctx, &b, p.Name, c)
			imageless = imageless || c.State.Waiting != nil && noImage[c.State.Waiting.Reason]
		}
	}
	if imageless {
		fmt.Fprintf(&b, "\nwhich images are pulled is chosen by %s, and else by the chart (HELM_CHART) and its values (HELM_VALUES)", strings.Join(settings.ImageVariables(), ", "))
	}
	g.warnings(ctx, &b)
	return fmt.Errorf("%w\n%s%s\nrun `mage deploy` again to go on from here, or `mage clean` to start over", reason, text, g.mask.Text(b.String()))
}

func (g gate) logs(ctx context.Context, b *strings.Builder, pod string, c corev1.ContainerStatus) {
	lines := int64(reportLines)
	show := func(title string, previous bool) {
		data, err := g.client.CoreV1().Pods(g.namespace).GetLogs(pod, &corev1.PodLogOptions{
			Container: c.Name, Previous: previous, TailLines: &lines,
		}).DoRaw(ctx)
		switch {
		case err != nil:
			fmt.Fprintf(b, "\n%s of %s/%s: cannot be read: %v", title, pod, c.Name, err)
		case len(data) > 0:
			fmt.Fprintf(b, "\n%s of %s/%s:\n  %s", title, pod, c.Name, strings.ReplaceAll(strings.TrimSpace(string(data)), "\n", "\n  "))
		default:
			fmt.Fprintf(b, "\n%s of %s/%s: nothing was written", title, pod, c.Name)
		}
	}
	if c.RestartCount > 0 {
		show("last log lines before the restart", true)
	}
	if c.State.Running != nil || c.State.Terminated != nil {
		show("last log lines", false)
	}
}

func (g gate) warnings(ctx context.Context, b *strings.Builder) {
	list, err := g.client.CoreV1().Events(g.namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		fmt.Fprintf(b, "\nevents of namespace %s: cannot be read: %v", g.namespace, err)
		return
	}
	events := list.Items
	slices.SortStableFunc(events, func(x, y corev1.Event) int { return seen(x).Compare(seen(y)) })
	for _, e := range events[max(0, len(events)-reportEvents):] {
		fmt.Fprintf(b, "\nwarning: %s %s: %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, firstLine(e.Message))
	}
}

// seen copes with events that have only one of their three times.
func seen(e corev1.Event) time.Time {
	for _, t := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
