//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

const (
	requestTimeout = 20 * time.Second
	// progress is how far a count has to go to show that it goes on.
	progress = 3
)

// get asks a pod over the network, through the API server's proxy, once: a pod that is Ready answers.
func (s *scene) get(p *corev1.Pod, port int, path string, params map[string]string) []byte {
	s.Helper()
	body, err := s.tryGet(s.ctx, p, port, path, params)
	if err != nil {
		query := url.Values{}
		for k, v := range params {
			query.Set(k, v)
		}
		s.fail(strings.TrimSuffix(fmt.Sprintf("pod %s answers on port %d: GET %s?%s", p.Name, port, path, query.Encode()), "?"),
			fmt.Sprintf("%v; the pod is %s", err, pods.Describe(s.pods.Get(p.UID))))
	}
	return body
}

func (s *scene) tryGet(ctx context.Context, p *corev1.Pod, port int, path string, params map[string]string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := kube.CoreV1().Pods(p.Namespace).ProxyGet("http", p.Name, strconv.Itoa(port), path, params).DoRaw(ctx)
	if said := strings.TrimSpace(string(body)); err != nil && said != "" {
		// Who refused says why in the body alone.
		err = fmt.Errorf("%w: %s", err, short(said))
	}
	return body, err
}

// state asks a counter for its state.
func (s *scene) state(p *corev1.Pod, port int) report.State {
	s.Helper()
	var state report.State
	body := s.get(p, port, "/state", nil)
	s.must(json.Unmarshal(body, &state), "read state of pod %s from %q", p.Name, body)
	return state
}

func (s *scene) read(p *corev1.Pod, port int, path string) string {
	s.Helper()
	return string(s.get(p, port, "/read", map[string]string{"path": path}))
}

func (s *scene) write(p *corev1.Pod, port int, path, data string) {
	s.Helper()
	s.get(p, port, "/write", map[string]string{"path": path, "data": data})
}

// past waits until a counter has counted on from a state, and returns the new one.
func (s *scene) past(p *corev1.Pod, port int, from report.State) report.State {
	s.Helper()
	var now report.State
	err := wait.For(s.ctx, fmt.Sprintf("the count of pod %s, port %d, to go on from %d", p.Name, port, from.Count), soon, func(context.Context) (bool, string, error) {
		now = s.state(p, port)
		return now.Count >= from.Count+progress, fmt.Sprintf("count %d", now.Count), nil
	})
	s.must(err, "watch pod %s count", p.Name)
	return now
}

// moments are what a counter said of itself around a checkpoint.
type moments struct {
	port int
	// before was asked before the request for the checkpoint, after when it was ready, last when the original had gone on.
	before, after, last report.State
	// journals are the contents of its files before the checkpoint, by name.
	journals map[string]string
}

// before starts the moments of the counter at a port, once it has counted: a pod answers before its first count, when
// there is nothing yet that a checkpoint could keep or lose.
func (s *scene) before(p *corev1.Pod, port int) *moments {
	s.Helper()
	m := &moments{port: port, before: s.past(p, port, report.State{}), journals: map[string]string{}}
	s.nonces[m.before.Nonce] = fmt.Sprintf("%s, port %d", p.Name, port)
	for name, j := range m.before.Journals {
		s.that(j.Error == "", "the file "+j.Path+" is intact before the checkpoint", j.Error)
		s.that(j.Lines > 0, "the counter writes to "+j.Path, "an empty file")
		m.journals[name] = s.read(p, port, j.Path)
	}
	return m
}

// after is for when the checkpoint is ready: it checks that the original is still there, was not started anew, and goes
// on, and lets it go on, so that it gets ahead of its checkpoint.
func (s *scene) after(p *corev1.Pod, m *moments) {
	s.Helper()
	s.about(p)
	s.facts.moment = fmt.Sprintf("the original after its checkpoint, port %d", m.port)
	m.after = s.state(p, m.port)
	s.same(m.before, m.after)
	m.last = s.past(p, m.port, m.after)
	s.intact(m.last)
}

// briefly checks that a counter was never held still for long.
func (s *scene) briefly(m *moments) {
	s.Helper()
	// A dump takes a hundredth of this; a starved machine was seen to take half.
	const still = 10 * time.Second
	for _, pause := range m.last.Pauses {
		s.that(pause.Length() < still, fmt.Sprintf("the source of a checkpoint stands still for less than %s", still), pause.Length())
	}
}

// survived checks that a counter is the one that was checkpointed, gone on from the moment of its checkpoint: not a
// fresh start, no older and no later state, and running.
func (s *scene) survived(r *restored, m *moments) report.State {
	s.Helper()
	s.about(r.Pod)
	s.facts.moment = fmt.Sprintf("the restored pod, port %d", m.port)
	now := s.state(r.Pod, m.port)
	s.same(m.before, now)

	// The process slept from its checkpoint to its restore, and remembers at which count.
	slept := slept(now, m)
	want := fmt.Sprintf("the pod goes on from the moment of its checkpoint, count %d to %d", m.before.Count, m.after.Count)
	s.that(slept.Count >= m.before.Count && slept.Count <= m.after.Count, want+": it has slept since then",
		fmt.Sprintf("count %d, its pauses were %v", now.Count, now.Pauses))
	s.that(slept.Count < m.last.Count, fmt.Sprintf("the restored state is older than the original's last, count %d", m.last.Count), slept.Count)
	s.that(now.Count >= slept.Count, want, fmt.Sprintf("count %d", now.Count))

	s.intact(now)
	for name, before := range m.journals {
		path := m.before.Journals[name].Path
		content := s.read(r.Pod, m.port, path)
		s.that(strings.HasPrefix(content, before), fmt.Sprintf("%s begins with the %d bytes that it had before the checkpoint", path, len(before)),
			fmt.Sprintf("%d bytes: %s", len(content), short(content)))
	}
	on := s.past(r.Pod, m.port, now)
	s.same(m.before, on)
	s.intact(on)
	s.note("pod %s, port %d: count %d before the checkpoint, %d in it, %d after it, %d in the original at last; restored, it is at %d",
		r.Name, m.port, m.before.Count, slept.Count, m.after.Count, m.last.Count, on.Count)
	return on
}

// slept is the longest time that a process stood still since the moments before its checkpoint: between its checkpoint
// and its restore.
func slept(now report.State, m *moments) report.Pause {
	longest := report.Pause{}
	for _, p := range now.Pauses {
		if p.Count >= m.before.Count && p.Length() > longest.Length() {
			longest = p
		}
	}
	return longest
}

// same checks that two states are of one process.
func (s *scene) same(was, is report.State) {
	s.Helper()
	if whose := s.nonces[is.Nonce]; was.Nonce != is.Nonce && whose != "" {
		s.fail("the nonce in memory is that of "+s.nonces[was.Nonce], "that of "+whose)
	}
	equal(s, "the nonce in memory (another one is another process, started anew)", was.Nonce, is.Nonce)
	s.that(was.Start.Equal(is.Start), fmt.Sprintf("the process started at %s", was.Start), is.Start)
	equal(s, "the pid", was.PID, is.PID)
	equal(s, "the uid", was.UID, is.UID)
	equal(s, "the gid", was.GID, is.GID)
	equal(s, "the working directory", was.CWD, is.CWD)
	equal(s, "the checksum of memory", was.MemorySHA256, is.MemorySHA256)
	s.that(is.MemorySHA256 == is.MemorySHA256AtStart, "the checksum of memory is as at start, "+is.MemorySHA256AtStart, is.MemorySHA256)
	s.that(is.Count >= was.Count, fmt.Sprintf("the count is at least %d", was.Count), is.Count)
	for k, v := range was.Env {
		equal(s, "the process's environment variable "+k, v, is.Env[k])
	}
}

// intact checks every file that a counter holds open.
func (s *scene) intact(state report.State) {
	s.Helper()
	for _, j := range state.Journals {
		s.that(j.Error == "", fmt.Sprintf("%s has a line for each count from 1 to %d, through the descriptor held since the start", j.Path, state.Count), j.Error)
	}
}

// speaks waits until a container's log has a count beyond one: standard output reaches the cluster.
func (s *scene) speaks(p *corev1.Pod, container string, beyond report.State) {
	s.Helper()
	err := wait.For(s.ctx, fmt.Sprintf("the log of pod %s, container %s, to go on from count %d", p.Name, container, beyond.Count), soon, func(ctx context.Context) (bool, string, error) {
		content, err := kube.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
		if err != nil {
			return false, "", err
		}
		last, spoke := lastCount(content, beyond.Nonce)
		return spoke && last > beyond.Count, fmt.Sprintf("%d bytes, last count %d", len(content), last), nil
	}, wait.Every(250*time.Millisecond))
	s.must(err, "read the log of pod %s", p.Name)
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

// short is the end of a long text.
func short(text string) string {
	const most = 200
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// load asks a load pod what it has seen.
func (s *scene) load(p *corev1.Pod) report.Load {
	s.Helper()
	var l report.Load
	body := s.get(p, 8080, "/load", nil)
	s.must(json.Unmarshal(body, &l), "read load of pod %s from %q", p.Name, body)
	return l
}

// reached waits until a load pod has had answers since it was last asked.
func (s *scene) reached(p *corev1.Pod, since report.Load) report.Load {
	s.Helper()
	var now report.Load
	err := wait.For(s.ctx, fmt.Sprintf("pod %s to reach %s", p.Name, since.URL), soon, func(context.Context) (bool, string, error) {
		now = s.load(p)
		return now.OK >= since.OK+progress, fmt.Sprintf("%d answers, %d failures, the last: %s", now.OK-since.OK, now.Failed-since.Failed, now.LastError), nil
	})
	s.must(err, "reach %s from pod %s", since.URL, p.Name)
	return now
}
