package pods

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// known is as much of an original's name as its restored pod has in any case. A longer name may not fit whole into
// another one: see LongestName.
const known = 128

// LongestName is the longest name of a pod that the kubelet can start in a namespace. Kubernetes takes 253 characters,
// but the kubelet makes a directory of the name NAMESPACE_NAME_UID, and that has at most 255.
func LongestName(namespace string) int {
	const uid, separators = 36, 2
	return min(253, 255-len(namespace)-uid-separators)
}

// RestoredName reports whether name can be that of a pod restored from original. Cedana's controller chooses the name;
// what its own suite relies on is that it has "restored" in it and the original's name, less one "-restored" at its end.
// Of a very long name the beginning is enough.
func RestoredName(name, original string) bool {
	original = strings.TrimSuffix(original, "-restored")
	original = original[:min(known, len(original))]
	return strings.Contains(name, "restored") && strings.Contains(name, original)
}

// Restored finds the pod restored from original among the pods that are there now and were not there before the
// restore. It is nil as long as there is none. Another new pod beside it, whatever its name, is an error: a restore
// makes one pod.
func Restored(original string, before map[types.UID]bool, now []*corev1.Pod) (*corev1.Pod, error) {
	var fresh []*corev1.Pod
	for _, p := range now {
		if !before[p.UID] {
			fresh = append(fresh, p)
		}
	}
	switch {
	case len(fresh) == 0:
		return nil, nil
	case len(fresh) > 1:
		return nil, fmt.Errorf("want one new pod, restored from %s; there are %d: %s", original, len(fresh), Names(fresh))
	case !RestoredName(fresh[0].Name, original):
		return nil, fmt.Errorf("want a new pod with %q and \"restored\" in its name; there is %s",
			strings.TrimSuffix(original, "-restored"), fresh[0].Name)
	}
	return fresh[0], nil
}

// Names of pods, in their order.
func Names(list []*corev1.Pod) string {
	names := make([]string, 0, len(list))
	for _, p := range list {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
