package server

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nameVariable is the variable of a container's environment that names its checkpoints.
const nameVariable = "CEDANA_CHECKPOINT"

// describePod is the kind of a pod's owner and the name that its first container with one gives its checkpoints; empty
// for none.
func describePod(object json.RawMessage) (workload, name string, err error) {
	var pod corev1.Pod
	if err := json.Unmarshal(object, &pod); err != nil {
		return "", "", fmt.Errorf("read the pod as it was last synced: %w", err)
	}
	if owner := metav1.GetControllerOf(&pod); owner != nil {
		workload = owner.Kind
	}
	for _, c := range pod.Spec.Containers {
		for _, v := range c.Env {
			if v.Name == nameVariable && v.Value != "" {
				return workload, v.Value, nil
			}
		}
	}
	return workload, "", nil
}
