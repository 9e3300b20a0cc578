package try

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cedana/cedana-e2e/targets/manifest"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
)

// stat is a line of /proc/PID/stat, with nothing in it but what is read.
func stat(pid int, name, state, stack string) string {
	fields := make([]string, fieldStartBrk)
	for i := range fields {
		fields[i] = "0"
	}
	fields[fieldState-1], fields[fieldStartStack-1], fields[fieldStartBrk-1] = state, stack, "77"
	return fmt.Sprintf("%d (%s) %s\n", pid, name, strings.Join(fields[fieldState-1:], " "))
}

func parsed(t *testing.T, text string) []process {
	t.Helper()
	list, err := parseProcesses(text)
	require.NoError(t, err)
	return list
}

func TestProcessesAreReadFromTheirStatLines(t *testing.T) {
	t.Parallel()
	list := parsed(t, "random 2\n"+stat(12, "a) (b", "S", "500")+stat(1, "nginx", "S", "400")+stat(13, "gone", "Z", "0")+stat(14, "other's", "S", "0"))
	require.Equal(t, []process{{1, "nginx", "0 400 77"}, {12, "a) (b", "0 500 77"}, {14, "other's", ""}}, list)
	require.Empty(t, parsed(t, "random 0\n"+stat(1, "nginx", "S", "400"))[0].Layout, "one that is started anew lies where it lay")
	_, err := parseProcesses("sh: not found\n")
	require.ErrorContains(t, err, "sh: not found")
}

func TestAShellListsEachProcessOnceAndItselfNot(t *testing.T) {
	t.Parallel()
	shell := exec.Command("sh", "-c", listProcesses)
	out, err := shell.Output()
	require.NoError(t, err)
	times := map[int]int{}
	for _, p := range parsed(t, string(out)) {
		times[p.PID]++
	}
	require.Equal(t, 1, times[os.Getpid()])
	require.Zero(t, times[shell.Process.Pid])
	for pid, n := range times {
		require.Equal(t, 1, n, pid)
	}
}

func TestAProcessIsTheSameByItsPIDAndItsLayout(t *testing.T) {
	t.Parallel()
	main, worker, hidden := process{1, "nginx", "a"}, process{7, "nginx", "b"}, process{9, "nginx", ""}
	for name, test := range map[string]struct {
		before, after, now []process
		want               verdict
		says               string
	}{
		"the same":         {[]process{main, worker}, []process{main, worker}, []process{main, worker}, kept, "1 (nginx), 7 (nginx): same PIDs"},
		"one more":         {[]process{main}, []process{main}, []process{main, worker}, kept, "1 (nginx)"},
		"started anew":     {[]process{main}, []process{main}, []process{{1, "nginx", "z"}}, lost, "started anew"},
		"one is gone":      {[]process{main, worker}, []process{main, worker}, []process{main}, lost, "7 (nginx) is not there"},
		"another program":  {[]process{main}, []process{main}, []process{{1, "sh", "a"}}, lost, "1 (nginx) is 1 (sh) now"},
		"came and went":    {[]process{main, worker}, []process{main}, []process{main}, kept, "1 (nginx)"},
		"hidden":           {[]process{hidden}, []process{hidden}, []process{hidden}, unknown, "only PID and name"},
		"one of two is":    {[]process{main, hidden}, []process{main, hidden}, []process{main, hidden}, kept, "of 1 of them only"},
		"nothing is known": {nil, nil, []process{main}, unknown, "no process"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, text := sameProcesses(test.before, test.after, test.now)
			require.Equal(t, test.want, got)
			require.Contains(t, text, test.says)
		})
	}
}

func TestALogGoesOnOrBeginsAnewOrIsQuiet(t *testing.T) {
	t.Parallel()
	wrote := logs{lines: []string{"starting", "1", "2"}, recent: 2}
	quiet := logs{lines: []string{"starting"}}
	same := logs{lines: []string{"tick", "tick", "tick"}, recent: 3}
	for name, test := range map[string]struct {
		before, now logs
		want        verdict
	}{
		"goes on":             {wrote, logs{lines: []string{"3"}}, kept},
		"begins anew":         {wrote, logs{lines: []string{"starting", "1"}}, lost},
		"has stopped":         {wrote, logs{}, lost},
		"is quiet":            {quiet, logs{}, unknown},
		"says always the one": {same, logs{lines: []string{"tick"}}, kept},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := goesOn(test.before, test.before, test.now)
			require.Equal(t, test.want, got)
		})
	}
}

func TestThePageSaysHowFarAWorkloadCameAndWhatToChange(t *testing.T) {
	t.Parallel()
	env := &environment.Environment{TestFile: settings.TestFile{Backend: settings.BackendLocal}}
	env.Try.Manifests = "pod.yaml"
	for name, test := range map[string]struct {
		section section
		says    []string
	}{
		"survived":              {section{done: judged, rows: []row{{"processes", kept, "1 | 2"}}}, []string{"## Pod/p survived", `| processes | yes | 1 \| 2 |`}},
		"lost something":        {section{done: judged, rows: []row{{"log", lost, ""}}, failure: &report.Failure{Expected: "Pod/p survives", Seen: "lost: log"}}, []string{"did not survive: log"}},
		"MPTCP":                 {section{done: running, failure: &report.Failure{Error: "checkpoint: inet: Unsupported proto 262"}}, []string{"cannot be checkpointed", "Unsupported proto 262", "GODEBUG=multipathtcp=0"}},
		"an image":              {section{done: nothing, failure: &report.Failure{Error: "container c: ImagePullBackOff"}}, []string{"did not come up", "E2E_IMAGES"}},
		"a reason not known":    {section{done: removed, failure: &report.Failure{Error: "alas"}}, []string{"but not restored", "alas", "troubleshooting.md"}},
		"not Ready any more":    {section{done: restored, failure: &report.Failure{Expected: "stays Ready", Seen: "it is not"}}, []string{"did not survive", "expected: stays Ready"}},
		"its source would stay": {section{done: checkpointed, failure: &report.Failure{Error: "timeout"}}, []string{"could not be removed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := NewPage(env)
			test.section.workload = "Pod/p"
			page.sections = append(page.sections, &test.section)
			text := page.String(nil)
			for _, want := range append(test.says, "says nothing about Cedana") {
				require.Contains(t, text, want)
			}
		})
	}
	text := NewPage(env).String(&report.Failure{Error: "create Pod/p: forbidden"})
	require.Contains(t, text, "was not tried")
	require.Contains(t, text, "forbidden")
}

func TestImagesOfTheLabAreNamedByTheirPrograms(t *testing.T) {
	t.Parallel()
	programs := map[string]string{"nginx": "lab/nginx:1"}
	images, err := resolve(map[string]string{"nginx:1.15": "@nginx", "a": "b"}, programs)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"nginx:1.15": "lab/nginx:1", "a": "b"}, images)
	_, err = resolve(map[string]string{"x": "@y"}, programs)
	require.ErrorContains(t, err, "no image of program y")
}

func TestAWorkloadKnowsItsPods(t *testing.T) {
	t.Parallel()
	objects := manifestOf(t, map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web"}, "spec": map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
	}})
	mine, err := (&Workload{Object: objects}).selects()
	require.NoError(t, err)
	yes := true
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}, OwnerReferences: []metav1.OwnerReference{{Controller: &yes}}}}
	require.True(t, mine(pod))
	pod.OwnerReferences = nil
	require.False(t, mine(pod), "a restored pod has no owner")
	_, err = (&Workload{Object: manifestOf(t, map[string]any{"apiVersion": "apps/v1", "kind": "Deployment"})}).selects()
	require.ErrorContains(t, err, "matchLabels")
}

func manifestOf(t *testing.T, content map[string]any) manifest.Object {
	t.Helper()
	return manifest.Object{Unstructured: &unstructured.Unstructured{Object: content}, File: "m.yaml"}
}

func TestWhatWillNotBecomeReadyEndsTheWait(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{}
	require.NoError(t, hopeless(pod))
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}}
	require.NoError(t, hopeless(pod))
	pod.Status.ContainerStatuses[0].State.Waiting.Reason = "ImagePullBackOff"
	require.EqualError(t, hopeless(pod), "container c: ImagePullBackOff")
	pod.Status.Phase = corev1.PodSucceeded
	require.Error(t, errors.Join(hopeless(pod)))
}
