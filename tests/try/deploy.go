package try

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/cedana/cedana-e2e/targets/manifest"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Workload is an object in the cluster that is a pod or makes some.
type Workload struct {
	manifest.Object
	// Replaced are the images in whose place others run.
	Replaced []string

	template *corev1.Pod
	api      dynamic.ResourceInterface
}

// Deploy creates all objects in the case's namespace, those that make pods last, and returns these.
func Deploy(s *steps.Steps, objects []manifest.Object) []*Workload {
	s.Helper()
	client, err := dynamic.NewForConfig(s.REST)
	s.Must(err, "make client for any kind of object")
	groups, err := restmapper.GetAPIGroupResources(s.Kube.Discovery())
	s.Must(err, "ask the cluster which kinds of objects it knows")
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	images, err := resolve(s.Env.Images, s.Env.Programs)
	s.Must(err, "put images in place of others")

	var workloads []*Workload
	slices.SortStableFunc(objects, func(a, b manifest.Object) int { return rank(a) - rank(b) })
	for _, o := range objects {
		kind := o.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		s.Must(err, "create %s of %s", o, o.File)
		s.That(mapping.Scope.Name() == meta.RESTScopeNameNamespace, fmt.Sprintf("%s of %s is within a namespace", o, o.File),
			"it belongs to the whole cluster: create it there first, and take it out of the manifests")
		o.SetNamespace(s.Namespace)
		w := &Workload{Object: o, api: client.Resource(mapping.Resource).Namespace(s.Namespace)}
		w.Replaced, err = o.ReplaceImages(images)
		s.Must(err, "create %s", o)
		created, err := w.api.Create(s.Ctx, o.Unstructured, metav1.CreateOptions{})
		s.Must(err, "create %s of %s", o, o.File)
		w.Unstructured = created
		if !w.MakesPods() {
			continue
		}
		w.template, err = w.Template()
		s.Must(err, "read %s", o)
		workloads = append(workloads, w)
	}
	return workloads
}

// rank is 1 for what makes pods: they find there what they need.
func rank(o manifest.Object) int {
	if o.MakesPods() {
		return 1
	}
	return 0
}

// resolve puts the lab's images where @NAME stands.
func resolve(images, programs map[string]string) (map[string]string, error) {
	out := maps.Clone(images)
	for name, image := range images {
		program, ok := strings.CutPrefix(image, "@")
		if !ok {
			continue
		}
		if out[name] = programs[program]; out[name] == "" {
			return nil, fmt.Errorf("E2E_IMAGES: there is no image of program %s here; those that there are: %s",
				program, strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
		}
	}
	return out, nil
}

// Pod waits until the workload has a pod that is Ready, and returns the first of those by name.
func (w *Workload) Pod(s *steps.Steps) *corev1.Pod {
	s.Helper()
	mine, err := w.selects()
	s.Must(err, "find the pods of %s", w)
	var found *corev1.Pod
	err = wait.For(s.Ctx, fmt.Sprintf("a pod of %s to be Ready", w), s.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		found = nil
		for _, p := range s.Pods.List() {
			if p.DeletionTimestamp == nil && mine(p) {
				found = p
				break
			}
		}
		if found == nil {
			return false, "no pod", nil
		}
		s.About(found)
		return pods.IsReady(found), pods.Describe(found), hopeless(found)
	}, wait.Every(fixture.Look))
	s.Must(err, "start %s", w)
	s.MadeOf(w.template, found)
	return found
}

// selects tells which pods are the workload's.
func (w *Workload) selects() (func(*corev1.Pod) bool, error) {
	if w.GetKind() == "Pod" {
		uid := w.GetUID()
		return func(p *corev1.Pod) bool { return p.UID == uid }, nil
	}
	text, _, err := unstructured.NestedMap(w.Object.Object, "spec", "selector")
	if err != nil {
		return nil, err
	}
	matching, _, err := unstructured.NestedStringMap(text, "matchLabels")
	if err != nil || len(matching) == 0 {
		return nil, errors.Join(err, errors.New("its selector has no matchLabels"))
	}
	selector := labels.SelectorFromSet(matching)
	return func(p *corev1.Pod) bool {
		return metav1.GetControllerOf(p) != nil && selector.Matches(labels.Set(p.Labels))
	}, nil
}

// hopeless is why a pod will not become Ready; nil while it may.
func hopeless(p *corev1.Pod) error {
	switch p.Status.Phase {
	case corev1.PodSucceeded:
		return errors.New("it has come to its end (Succeeded)")
	case corev1.PodFailed:
		return errors.New("it has failed (PodFailed)")
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && slices.Contains([]string{"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff"}, w.Reason) {
			return fmt.Errorf("container %s: %s", c.Name, w.Reason)
		}
	}
	return nil
}

// Remove deletes the workload, whose controller would replace the pod, and waits until the pod is gone. It is given a second to end.
func (w *Workload) Remove(s *steps.Steps, p *corev1.Pod) {
	s.Helper()
	defer s.Step(report.StepDelete, "pod "+p.Name)()
	background, soon := metav1.DeletePropagationBackground, int64(1)
	if w.GetKind() != "Pod" {
		s.Must(w.api.Delete(s.Ctx, w.GetName(), metav1.DeleteOptions{PropagationPolicy: &background}), "delete %s", w)
	}
	err := s.Kube.CoreV1().Pods(p.Namespace).Delete(s.Ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &soon})
	if !apierrors.IsNotFound(err) {
		s.Must(err, "delete pod %s", p.Name)
	}
	s.Vanished(p)
}
