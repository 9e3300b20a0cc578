package try

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// markFile is written to where files are part of a checkpoint.
const markFile = ".cedana-e2e-try"

// place is a directory in a container whose files are part of the pod's checkpoint.
type place struct{ container, dir string }

func (p place) String() string { return p.dir + " in " + p.container }

// places are a container's root file system and its emptyDir volumes.
func places(p *corev1.Pod, c corev1.Container) []place {
	list := []place{{c.Name, "/tmp"}}
	for _, m := range c.VolumeMounts {
		for _, v := range p.Spec.Volumes {
			if v.Name == m.Name && v.EmptyDir != nil && !m.ReadOnly {
				list = append(list, place{c.Name, m.MountPath})
			}
		}
	}
	return list
}

// mark writes a file with this content to each place that can be written to with a shell, and returns those.
func mark(s *steps.Steps, p *corev1.Pod, content string) (marked []place) {
	s.Helper()
	for _, c := range pods.LongRunning(p) {
		for _, at := range places(p, c) {
			if _, err := s.Exec(s.Ctx, p, at.container, "sh", "-c", fmt.Sprintf("echo %s > '%s/%s'", content, at.dir, markFile)); err == nil {
				marked = append(marked, at)
			}
		}
	}
	return marked
}

// files tells whether each marked place has what was written before the checkpoint, and not what was written after it.
func (on *section) files(s *steps.Steps, p *corev1.Pod, marked []place) {
	s.Helper()
	var right, wrong []string
	for _, at := range marked {
		out, err := s.Exec(s.Ctx, p, at.container, "sh", "-c", fmt.Sprintf("read -r l < '%s/%s' && echo $l", at.dir, markFile))
		switch found := strings.TrimSpace(out); {
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("%s lacks a file that was written before the checkpoint", at))
		case found != "before":
			wrong = append(wrong, fmt.Sprintf("%s has what was written %s the checkpoint", at, found))
		default:
			right = append(right, at.String())
		}
	}
	switch {
	case len(wrong) > 0:
		on.row("files", lost, strings.Join(wrong, "; "))
	case len(right) > 0:
		on.row("files", kept, strings.Join(right, ", ")+": what was written before the checkpoint, and not what was written after it")
	default:
		on.row("files", unknown, "there is no place that can be written to with a shell in the container")
	}
}
