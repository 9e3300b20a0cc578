package try

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/tests/steps"
)

// logs are a container's lines, and those of the last few seconds.
type logs struct {
	lines  []string
	recent int
}

// readLogs reads a container's log.
func readLogs(s *steps.Steps, p *corev1.Pod, container string) logs {
	s.Helper()
	read := func(o *corev1.PodLogOptions) []string {
		o.Container = container
		content, err := s.Kube.CoreV1().Pods(p.Namespace).GetLogs(p.Name, o).DoRaw(s.Ctx)
		s.Must(err, "read the log of container %s of pod %s", container, p.Name)
		return strings.FieldsFunc(string(content), func(r rune) bool { return r == '\n' })
	}
	seconds := int64(settled.Seconds())
	return logs{lines: read(&corev1.PodLogOptions{}), recent: len(read(&corev1.PodLogOptions{SinceSeconds: &seconds}))}
}

// goesOn tells whether a restored container's log goes on where the original's was: one that begins as that began is of a
// program that was started anew.
func goesOn(before, after, now logs) (verdict, string) {
	switch {
	case len(now.lines) > 0 && len(before.lines) > 0 && now.lines[0] == before.lines[0] && count(before.lines, before.lines[0]) == 1:
		return lost, fmt.Sprintf("it begins as the original's did, so the program was started anew: %s", now.lines[0])
	case len(now.lines) > 0:
		return kept, fmt.Sprintf("%d lines in the original, %d since the restore, the last: %s", len(after.lines), len(now.lines), now.lines[len(now.lines)-1])
	case before.recent == 0 && after.recent == 0:
		return unknown, fmt.Sprintf("the original wrote nothing while it was watched (%d lines in all), nor does the restored pod", len(after.lines))
	}
	return lost, fmt.Sprintf("the original wrote %d lines in its last %s, the restored pod none in as long", max(before.recent, after.recent), settled)
}

func count(lines []string, line string) int {
	n := 0
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}
