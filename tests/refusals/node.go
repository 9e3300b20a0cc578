package refusals

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/wait"
)

// registry is where nothing listens: an image of it is on the node or is nowhere.
const registry = "localhost:1"

func (r *Refusals) onNode(script string, args ...string) {
	r.Helper()
	out, err := r.nodes.Shell(r.Ctx, r.node.Name, script, args...)
	r.Must(err, "change node %s: %s", r.node.Name, out)
}

// cleanUp does something on the node in the case's cleanup.
func (r *Refusals) cleanUp(script string, args ...string) {
	r.Cleanup(func() {
		ctx, cancel := r.CleanupContext()
		defer cancel()
		if out, err := r.nodes.Shell(ctx, r.node.Name, script, args...); err != nil {
			r.Errorf("clean up node %s: %v: %s", r.node.Name, err, out)
		}
	})
}

func (r *Refusals) imageName() string { return registry + "/" + r.Namespace + ":e2e" }

// ownImage is the counter's image under a name of the case's own.
func (r *Refusals) ownImage() string {
	r.Helper()
	r.cleanUp(`ctr -n k8s.io images rm "$1"`, r.imageName())
	r.tag(r.CounterImage())
	return r.imageName()
}

// tag gives the case's name to an image that is on the node.
func (r *Refusals) tag(image string) {
	r.Helper()
	r.onNode(`ctr -n k8s.io images tag --force "$1" "$2"`, image, r.imageName())
}

// directory is on the node, for volumes.
func (r *Refusals) directory() string {
	r.Helper()
	path := "/var/tmp/" + r.Namespace
	r.onNode(`mkdir -p "$1"`, path)
	r.cleanUp(`rm -rf "$1"`, path)
	return path
}

func (r *Refusals) hostPath() corev1.PersistentVolumeSource {
	r.Helper()
	return corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: r.directory()}}
}

func (r *Refusals) local() corev1.PersistentVolumeSource {
	r.Helper()
	return corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: r.directory()}}
}

// claim makes a volume and the claim to it, and waits until they are bound to each other.
func (r *Refusals) claim(source corev1.PersistentVolumeSource) {
	r.Helper()
	none := ""
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	volumes, claims := r.Kube.CoreV1().PersistentVolumes(), r.Kube.CoreV1().PersistentVolumeClaims(r.Namespace)
	v, err := volumes.Create(r.Ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: r.Namespace + "-",
			Labels:       map[string]string{settings.KubernetesLabelRun: r.Env.RunID, settings.KubernetesLabelManaged: settings.ManagedBy},
		},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: source, Capacity: size, AccessModes: modes, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			ClaimRef: &corev1.ObjectReference{Namespace: r.Namespace, Name: claim},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{r.node.Name}}},
			}}}},
		},
	}, metav1.CreateOptions{})
	r.Must(err, "create a persistent volume")
	r.Cleanup(func() {
		ctx, cancel := r.CleanupContext()
		defer cancel()
		if err := volumes.Delete(ctx, v.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			r.Errorf("delete persistent volume %s: %v; remove it with `kubectl delete pv %s`", v.Name, err, v.Name)
		}
	})
	// A claim to a volume that the controller does not know yet is looked at again only 15 s later.
	err = wait.For(r.Ctx, "persistent volume "+v.Name+" to be available", stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		now, err := volumes.Get(ctx, v.Name, metav1.GetOptions{})
		return err == nil && now.Status.Phase == corev1.VolumeAvailable, fmt.Sprint(now.Status.Phase), err
	})
	r.Must(err, "make a volume")
	_, err = claims.Create(r.Ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: claim},
		Spec: corev1.PersistentVolumeClaimSpec{
			VolumeName: v.Name, StorageClassName: &none, AccessModes: modes, Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}, metav1.CreateOptions{})
	r.Must(err, "create persistent volume claim %s", claim)
	err = wait.For(r.Ctx, "persistent volume claim "+claim+" to be bound", stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		now, err := claims.Get(ctx, claim, metav1.GetOptions{})
		return err == nil && now.Status.Phase == corev1.ClaimBound, fmt.Sprint(now.Status.Phase), err
	})
	r.Must(err, "claim a volume")
}

// unclaim deletes the claim and waits until it is gone.
func (r *Refusals) unclaim() {
	r.Helper()
	claims := r.Kube.CoreV1().PersistentVolumeClaims(r.Namespace)
	r.Must(claims.Delete(r.Ctx, claim, metav1.DeleteOptions{}), "delete persistent volume claim %s", claim)
	err := wait.For(r.Ctx, "persistent volume claim "+claim+" to be gone", stretch.Limit(fixture.Soon), func(ctx context.Context) (bool, string, error) {
		now, err := claims.Get(ctx, claim, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		return false, fmt.Sprint(now.Status.Phase, now.Finalizers), err
	})
	r.Must(err, "give a claim up")
}
