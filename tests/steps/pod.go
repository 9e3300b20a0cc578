package steps

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// Create makes a pod and does not wait for it.
func (s *Steps) Create(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	if s.Reserved != "" && !s.AnyNode && p.Spec.NodeName == "" && p.Spec.NodeSelector == nil && p.Spec.Affinity == nil {
		pods.Avoid(s.Reserved)(p)
	}
	made, err := s.Kube.CoreV1().Pods(s.Namespace).Create(s.Ctx, p, metav1.CreateOptions{})
	s.Must(err, "create pod %s", p.Name)
	s.About(made)
	s.descends(made, made)
	return made
}

// Start makes a pod and waits until it is Ready.
func (s *Steps) Start(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	return s.Ready(s.Create(p))
}

// Ready waits until a pod is Ready, and returns it as it then is.
func (s *Steps) Ready(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	s.About(p)
	defer s.Step(report.StepStart, "pod "+p.Name)()
	err := wait.For(s.Ctx, fmt.Sprintf("pod %s/%s to be Ready", p.Namespace, p.Name), s.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := s.Pods.Get(p.UID)
		return now != nil && pods.IsReady(now), pods.Describe(now), nil
	}, wait.Every(fixture.Look))
	s.Must(err, "start pod %s", p.Name)
	now := s.Pods.Get(p.UID)
	s.About(now)
	return now
}

// Service makes a service that reaches the pods of an app on a port.
func (s *Steps) Service(app string, port int32) {
	s.Helper()
	_, err := s.Kube.CoreV1().Services(s.Namespace).Create(s.Ctx, pods.Service(app, port), metav1.CreateOptions{})
	s.Must(err, "create service %s", app)
}

// ConfigMapAndSecret makes or changes a config map and a secret of one name, with one key.
func (s *Steps) ConfigMapAndSecret(name, content string) {
	s.Helper()
	meta := metav1.ObjectMeta{Name: name}
	config := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": content}}
	secret := &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"key": content}}
	core := s.Kube.CoreV1()
	_, err := core.ConfigMaps(s.Namespace).Create(s.Ctx, config, metav1.CreateOptions{})
	if err == nil {
		_, err = core.Secrets(s.Namespace).Create(s.Ctx, secret, metav1.CreateOptions{})
		s.Must(err, "create secret %s", name)
		return
	}
	_, err = core.ConfigMaps(s.Namespace).Update(s.Ctx, config, metav1.UpdateOptions{})
	s.Must(err, "change config map %s", name)
	_, err = core.Secrets(s.Namespace).Update(s.Ctx, secret, metav1.UpdateOptions{})
	s.Must(err, "change secret %s", name)
}

// Remove deletes a pod and waits until the API no longer has it, by its UID.
func (s *Steps) Remove(p *corev1.Pod) {
	s.Helper()
	s.About(p)
	defer s.Step(report.StepDelete, "pod "+p.Name)()
	s.Must(s.TryRemove(s.Ctx, p), "delete pod %s", p.Name)
	// Asked, not remembered: a restore beside the living original proves nothing.
	now, err := s.Kube.CoreV1().Pods(p.Namespace).Get(s.Ctx, p.Name, metav1.GetOptions{})
	if err == nil && now.UID == p.UID {
		s.Unexpected("pod "+p.Name+" is gone", pods.Describe(now))
	}
	if err != nil && !apierrors.IsNotFound(err) {
		s.Must(err, "confirm that pod %s is gone", p.Name)
	}
}

// TryRemove deletes a pod and waits until the watch no longer has it.
func (s *Steps) TryRemove(ctx context.Context, p *corev1.Pod) error {
	err := s.Kube.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if err != nil {
		return err
	}
	return wait.For(ctx, fmt.Sprintf("pod %s/%s to be gone", p.Namespace, p.Name), s.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		now := s.Pods.Get(p.UID)
		return now == nil, pods.Describe(now), nil
	}, wait.Every(fixture.Look))
}

// Forget deletes a pod whose node is dead: no kubelet is there to confirm its end.
func (s *Steps) Forget(p *corev1.Pod) {
	s.Helper()
	at := int64(0)
	err := s.Kube.CoreV1().Pods(p.Namespace).Delete(s.Ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &at})
	if !apierrors.IsNotFound(err) {
		s.Must(err, "delete pod %s of a dead node", p.Name)
	}
	s.Vanished(p)
}

// Template makes a pod one for a controller to make pods of.
func (s *Steps) Template(p *corev1.Pod) corev1.PodTemplateSpec {
	spec := *p.Spec.DeepCopy()
	if s.Reserved != "" {
		pods.AvoidIn(&spec, s.Reserved)
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels, Annotations: p.Annotations}, Spec: spec}
}

// Owned waits for the pod that a controller makes of a template.
func (s *Steps) Owned(template *corev1.Pod) *corev1.Pod {
	s.Helper()
	return s.OwnedBeside(template, nil)
}

// OwnedBeside waits for another pod that a controller makes of a template than the one that it has; nil is none.
func (s *Steps) OwnedBeside(template, has *corev1.Pod) *corev1.Pod {
	s.Helper()
	var found *corev1.Pod
	err := wait.For(s.Ctx, "a controller to make a pod of "+template.Name, s.Env.PodTimeout.Duration, func(context.Context) (bool, string, error) {
		list := s.Pods.List()
		i := slices.IndexFunc(list, func(p *corev1.Pod) bool {
			return p.DeletionTimestamp == nil && metav1.GetControllerOf(p) != nil && (has == nil || p.UID != has.UID)
		})
		if i >= 0 {
			found = list[i]
		}
		return i >= 0, pods.Names(list), nil
	}, wait.Every(fixture.Look))
	s.Must(err, "wait for a pod of %s", template.Name)
	s.MadeOf(template, found)
	return found
}

// MadeOf notes of which template a pod is made: what its controller put on it beside that is the controller's, and a restored
// pod need not have it.
func (s *Steps) MadeOf(template, p *corev1.Pod) { s.descends(p, template) }
