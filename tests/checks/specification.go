package checks

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// SameImages is nil when the containers of a restored pod run the images that the source's ran, by their digests: a name
// may be another image's by now.
func SameImages(source, restored *corev1.Pod) error {
	ran, runs := digests(source), digests(restored)
	for _, c := range pods.LongRunning(source) {
		if err := fixture.ExpectEqual("the digest of the image of container "+c.Name, ran[c.Name], runs[c.Name]); err != nil {
			return err
		}
	}
	return nil
}

// digests are the images that a pod's containers run, by container.
func digests(p *corev1.Pod) map[string]string {
	ids := map[string]string{}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		ids[s.Name] = s.ImageID
	}
	return ids
}

// kept are the fields of a pod's specification that a restored pod has as its original, by their names in JSON and in words.
var kept = []struct{ field, word string }{
	{"nodeSelector", "node selector"}, {"serviceAccountName", "service account"}, {"tolerations", "toleration"},
	{"priorityClassName", "priority class"}, {"priority", "priority"}, {"hostAliases", "host alias"}, {"imagePullSecrets", "pull secret"},
	{"terminationGracePeriodSeconds", "grace period"}, {"volumes", "volume"}, {"securityContext", "security context"}, {"restartPolicy", "restart policy"},
}

// Lost is what of the source's labels, annotations, environment, limits and the fields in kept a restored pod does not
// have, in words; empty when nothing is lost. A restored pod may have more.
func Lost(source, restored *corev1.Pod) []string {
	lost := lostKeys("label", source.Labels, restored.Labels)
	lost = append(lost, lostKeys("annotation", source.Annotations, restored.Annotations)...)
	want, got := fields(source.Spec), fields(restored.Spec)
	for _, k := range kept {
		if list, ok := want[k.field].([]any); ok {
			for _, item := range list {
				if !within(item, got[k.field]) {
					lost = append(lost, k.word+" "+text(item))
				}
			}
		} else if !within(want[k.field], got[k.field]) {
			lost = append(lost, fmt.Sprintf("%s %s (seen %s)", k.word, text(want[k.field]), text(got[k.field])))
		}
	}
	for _, c := range pods.LongRunning(source) {
		there := find(pods.LongRunning(restored), c.Name)
		if there == nil {
			continue // which LostLimits names
		}
		env := map[string]string{}
		for _, v := range there.Env {
			env[v.Name] = v.Value
		}
		for _, v := range c.Env {
			if got, ok := env[v.Name]; !ok || got != v.Value {
				lost = append(lost, fmt.Sprintf("env %s=%q of container %s (seen %q)", v.Name, v.Value, c.Name, got))
			}
		}
	}
	return append(lost, LostLimits(source, restored)...)
}

// fields are those of a specification, as they are in JSON.
func fields(spec corev1.PodSpec) map[string]any {
	var all map[string]any
	if err := json.Unmarshal([]byte(text(spec)), &all); err != nil {
		panic(err) // it is JSON
	}
	return all
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // what is in a pod can be encoded
	}
	return string(data)
}

// within reports whether got has all that want has: what the API server fills in beside it does not matter. A list has a
// value when one of its items does.
func within(want, got any) bool {
	if want == nil {
		return true
	}
	if fields, ok := want.(map[string]any); ok {
		if there, ok := got.(map[string]any); ok {
			for name, value := range fields {
				if !within(value, there[name]) {
					return false
				}
			}
			return true
		}
	}
	if list, ok := want.([]any); ok {
		return !slices.ContainsFunc(list, func(item any) bool { return !within(item, got) })
	}
	if list, ok := got.([]any); ok {
		return slices.ContainsFunc(list, func(item any) bool { return within(want, item) })
	}
	return reflect.DeepEqual(want, got)
}

func lostKeys(kind string, want, got map[string]string) []string {
	var lost []string
	for k, v := range want {
		// Cedana's own marks name the restore that made the pod: a second one has others.
		if strings.HasPrefix(k, "cedana.ai/") {
			continue
		}
		if g, ok := got[k]; !ok || g != v {
			lost = append(lost, fmt.Sprintf("%s %s=%q (seen %q)", kind, k, v, g))
		}
	}
	return lost
}

func find(containers []corev1.Container, name string) *corev1.Container {
	for i := range containers {
		if containers[i].Name == name {
			return &containers[i]
		}
	}
	return nil
}

// LostLimits is what of the source's resources a restored pod does not have in its spec, in words.
func LostLimits(source, restored *corev1.Pod) []string {
	var lost []string
	for _, c := range pods.LongRunning(source) {
		there := find(pods.LongRunning(restored), c.Name)
		if there == nil {
			lost = append(lost, "container "+c.Name)
			continue
		}
		for kind, lists := range map[string][2]corev1.ResourceList{
			"limit": {c.Resources.Limits, there.Resources.Limits}, "request": {c.Resources.Requests, there.Resources.Requests},
		} {
			for name, want := range lists[0] {
				if got, ok := lists[1][name]; !ok || got.Cmp(want) != 0 {
					lost = append(lost, fmt.Sprintf("%s of %s of container %s, %s (seen %s)", kind, name, c.Name, want.String(), got.String()))
				}
			}
		}
	}
	slices.Sort(lost)
	return lost
}
