package checks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// State asks a counter for its state.
func (c *Checks) State(p *corev1.Pod, port int) report.State {
	c.Helper()
	var state report.State
	body := c.Get(p, port, "/state", nil)
	c.Must(json.Unmarshal(body, &state), "read state of pod %s from %q", p.Name, body)
	return state
}

func (c *Checks) Read(p *corev1.Pod, port int, path string) string {
	c.Helper()
	return string(c.Get(p, port, "/read", map[string]string{"path": path}))
}

func (c *Checks) Write(p *corev1.Pod, port int, path, data string) {
	c.Helper()
	c.Get(p, port, "/write", map[string]string{"path": path, "data": data})
}

// CountsOn waits until a counter has counted on from a state, and returns the new one.
func (c *Checks) CountsOn(p *corev1.Pod, port int, from report.State) report.State {
	c.Helper()
	var now report.State
	err := wait.For(c.Ctx, fmt.Sprintf("the count of pod %s, port %d, to go on from %d", p.Name, port, from.Count), stretch.Limit(fixture.Soon), func(context.Context) (bool, string, error) {
		now = c.State(p, port)
		return now.Count >= from.Count+progress, fmt.Sprintf("count %d", now.Count), nil
	})
	c.Must(err, "watch pod %s count", p.Name)
	return now
}

// Progresses waits until a counter answers and has counted on, and returns its state. Unlike past it bears with a pod
// That does not answer, because it stands still for the moment.
func (c *Checks) Progresses(p *corev1.Pod, from report.State) report.State {
	c.Helper()
	var now report.State
	err := wait.For(c.Ctx, fmt.Sprintf("the count of pod %s to go on from %d", p.Name, from.Count), c.Env.PodTimeout.Duration, func(ctx context.Context) (bool, string, error) {
		body, err := c.TryGet(ctx, p, pods.CounterPort, "/state", nil)
		if err == nil {
			err = json.Unmarshal(body, &now)
		}
		return err == nil && now.Count >= from.Count+progress, fmt.Sprintf("count %d, %v", now.Count, err), nil
	})
	c.Must(err, "watch pod %s count", p.Name)
	c.Same(from, now)
	return now
}

// LogGoesOn waits until a container's log has a count beyond one: standard output reaches the cluster.
func (c *Checks) LogGoesOn(p *corev1.Pod, container string, beyond report.State) {
	c.Helper()
	err := wait.For(c.Ctx, fmt.Sprintf("the log of pod %s, container %s, to go on from count %d", p.Name, container, beyond.Count), stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		content, err := c.Kube.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
		if err != nil {
			return false, "", err
		}
		last, spoke := lastCount(content, beyond.Nonce)
		return spoke && last > beyond.Count, fmt.Sprintf("%d bytes, last count %d", len(content), last), nil
	}, wait.Every(250*time.Millisecond))
	c.Must(err, "read the log of pod %s", p.Name)
}

// Load asks a load pod what it has seen.
func (c *Checks) Load(p *corev1.Pod) report.Load {
	c.Helper()
	var l report.Load
	body := c.Get(p, 8080, "/load", nil)
	c.Must(json.Unmarshal(body, &l), "read load of pod %s from %q", p.Name, body)
	return l
}

// Reached waits until a load pod has had answers since it was last asked.
func (c *Checks) Reached(p *corev1.Pod, since report.Load) report.Load {
	c.Helper()
	var now report.Load
	err := wait.For(c.Ctx, fmt.Sprintf("pod %s to reach %s", p.Name, since.URL), stretch.Limit(fixture.Soon), func(context.Context) (bool, string, error) {
		now = c.Load(p)
		return now.OK >= since.OK+progress, fmt.Sprintf("%d answers, %d failures, the last: %s", now.OK-since.OK, now.Failed-since.Failed, now.LastError), nil
	})
	c.Must(err, "reach %s from pod %s", since.URL, p.Name)
	return now
}

// Answered waits until every request of a load pod that was made before a time has ended, well or not. A request has ended
// within patience.
func (c *Checks) Answered(p *corev1.Pod, since time.Time, patience time.Duration) report.Load {
	c.Helper()
	var now report.Load
	err := wait.For(c.Ctx, fmt.Sprintf("the requests of pod %s to be answered", p.Name), patience+stretch.Limit(fixture.Soon), func(context.Context) (bool, string, error) {
		now = c.Load(p)
		return now.Waiting < time.Since(since), fmt.Sprintf("%d answers, %d failures, one unanswered for %s", now.OK, now.Failed, now.Waiting), nil
	})
	c.Must(err, "watch the requests of pod %s", p.Name)
	return c.Reached(p, now)
}

// lastCount is the last count that a process with the nonce has printed.
func lastCount(log []byte, nonce string) (uint64, bool) {
	var last uint64
	found := false
	lines := bufio.NewScanner(bytes.NewReader(log))
	for lines.Scan() {
		var count uint64
		var by string
		if n, _ := fmt.Sscanf(lines.Text(), "count=%d nonce=%s", &count, &by); n == 2 && by == nonce {
			last, found = count, true
		}
	}
	return last, found
}

// Answers waits until a counter listens: a pod that runs and is not Ready may not yet.
func (c *Checks) Answers(p *corev1.Pod, port int) {
	c.Helper()
	err := wait.For(c.Ctx, fmt.Sprintf("pod %s/%s to answer on port %d", p.Namespace, p.Name, port), c.Env.PodTimeout.Duration, func(ctx context.Context) (bool, string, error) {
		_, err := c.TryGet(ctx, p, port, "/state", nil)
		return err == nil, fmt.Sprintf("%v; %s", err, pods.Describe(c.Pods.Get(p.UID))), nil
	})
	c.Must(err, "ask pod %s", p.Name)
}
