package helper

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
)

const uid = "6f9c2c3e-0000-4000-8000-000000000001"

// runcRoot writes states as runc does: one directory a container.
func runcRoot(t *testing.T, states ...map[string]any) string {
	t.Helper()
	root := t.TempDir()
	for _, s := range states {
		dir := filepath.Join(root, s["id"].(string))
		require.NoError(t, os.Mkdir(dir, 0o700))
		data, err := json.Marshal(s)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "state.json"), data, 0o600))
	}
	// One that is just being deleted.
	require.NoError(t, os.Mkdir(filepath.Join(root, "going"), 0o700))
	return root
}

func state(id, podUID, kind, name string, pid int) map[string]any {
	return map[string]any{
		"id": id, "init_process_pid": pid, "created": "2026-01-02T03:04:05Z", "cgroup_paths": map[string]string{"freezer": "/cg/" + id},
		"config": map[string]any{"labels": []string{
			bundle.AnnotationPodUID + "=" + podUID, bundle.AnnotationType + "=" + kind, bundle.AnnotationName + "=" + name,
			bundle.AnnotationImage + "=image=with=signs", "bundle=/bundles/" + id,
		}},
	}
}

func pod(containers ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: uid}}
	for _, name := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name})
	}
	return p
}

func TestContainersAreFoundByTheirPodsUID(t *testing.T) {
	t.Parallel()
	self := os.Getpid()
	root := runcRoot(t,
		state("1", uid, "sandbox", "", self), state("2", uid, bundle.TypeContainer, "b", self), state("3", uid, bundle.TypeContainer, "a", self),
		state("4", uid+"0", bundle.TypeContainer, "a", self), // the UID is compared whole
	)
	found, err := findContainers(root, uid, pod("a", "b"))
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, "3", found[0].ID, "in the order of the spec")
	require.Equal(t, "2", found[1].ID)
	require.Equal(t, "image=with=signs", found[0].Image)
	require.Equal(t, "/bundles/3", found[0].Bundle)
	require.Equal(t, Freezer{Dir: "/cg/3"}, found[0].Freezer)
}

func TestARuncRootThatThisNodeHasNotKeepsItFromBeingReady(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, checkRuncRoot(root))
	require.ErrorContains(t, checkRuncRoot(filepath.Join(root, "not-there")), "RUNC_ROOT")
}

func TestACheckpointIsLookedForInTheNodesOwnRuncRootUnlessItNamesOne(t *testing.T) {
	t.Parallel()
	own, other := t.TempDir(), t.TempDir()
	h := &Helper{runcRoot: own, workDir: t.TempDir()}
	take := func(root string) error {
		_, _, err := h.dumpPod(t.Context(), DumpRequest{PodUID: uid, RuncRoot: root})
		return err
	}
	require.ErrorContains(t, take(""), "runc root "+own+" has no running container")
	require.ErrorContains(t, take(""), "RUNC_ROOT has to name that")
	require.ErrorContains(t, take(other), "runc root "+other+" has no running container")
	require.ErrorContains(t, take(other), "this node's is "+own)
}

func TestARuncRootWithoutThePodIsNamedWithIt(t *testing.T) {
	t.Parallel()
	root := runcRoot(t)
	_, err := findContainers(root, uid, pod("a"))
	for _, part := range []string{root, uid, "ns/p"} {
		require.ErrorContains(t, err, part)
	}
	missing := filepath.Join(root, "not-there")
	_, err = findContainers(missing, uid, pod("a"))
	require.ErrorContains(t, err, missing)
	require.ErrorContains(t, err, "RUNC_ROOT")
}

func TestAPodIsCheckpointedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	self := os.Getpid()
	ended := exec.Command("true")
	require.NoError(t, ended.Run())
	root := runcRoot(t, state("1", uid, bundle.TypeContainer, "a", self), state("2", uid, bundle.TypeContainer, "b", ended.Process.Pid))
	_, err := findContainers(root, uid, pod("a", "b"))
	require.ErrorContains(t, err, "container b of pod ns/p is not running")

	root = runcRoot(t, state("1", uid, bundle.TypeContainer, "a", self), state("2", uid, bundle.TypeContainer, "init", self))
	_, err = findContainers(root, uid, pod("a"))
	require.ErrorContains(t, err, "init")
}

func TestSidecarsRunAsLongAsThePodOtherInitContainersDoNot(t *testing.T) {
	t.Parallel()
	always := corev1.ContainerRestartPolicyAlways
	p := pod("main")
	p.Spec.InitContainers = []corev1.Container{{Name: "once"}, {Name: "sidecar", RestartPolicy: &always}}
	require.Equal(t, []string{"sidecar", "main"}, longRunning(p))
}

func TestAVolumeIsOwnedByTheFirstContainerThatMountsIt(t *testing.T) {
	t.Parallel()
	p := pod("a", "b")
	mount := func(names ...string) (mounts []corev1.VolumeMount) {
		for _, n := range names {
			mounts = append(mounts, corev1.VolumeMount{Name: n})
		}
		return mounts
	}
	p.Spec.Containers[0].VolumeMounts = mount("both", "config")
	p.Spec.Containers[1].VolumeMounts = mount("both", "late")
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "both", VolumeSource: empty}, {Name: "late", VolumeSource: empty}, {Name: "nobodys", VolumeSource: empty},
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
	}
	require.Equal(t, map[string][]string{"a": {"both"}, "b": {"late"}}, ownedVolumes(p, nil))
	require.Equal(t, map[string][]string{"a": {"both"}, "b": {"late"}}, ownedVolumes(p, []string{"a", "b"}))
	require.Equal(t, map[string][]string{"a": {"both"}, "b": {"both", "late"}}, ownedVolumes(p, []string{"b"}), "b may be restored without a")
	require.Empty(t, ownedVolumes(nil, nil))
}

func TestTheNameOfACheckpointIsThatOfTheContainersProcess(t *testing.T) {
	t.Parallel()
	config := func(environment string) string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"process":{"env":[`+environment+`]}}`), 0o600))
		return dir
	}
	containers := []Container{{Name: "a", Bundle: config(`"A=1"`)}, {Name: "b", Bundle: config(`"A=1","CEDANA_CHECKPOINT=jobs"`)}}
	require.NoError(t, readDeclared(containers))
	require.Empty(t, containers[0].Declared)
	require.Equal(t, "jobs", containers[1].Declared)
	require.Equal(t, []string{"b"}, declaring(containers))
	require.ErrorContains(t, readDeclared([]Container{{Name: "c", Bundle: t.TempDir()}}), "container c")
}

func TestOldAndNewCgroupsHaveAFreezer(t *testing.T) {
	t.Parallel()
	f, err := newFreezer(map[string]string{"": "/sys/fs/cgroup/x"})
	require.NoError(t, err)
	require.Equal(t, Freezer{Dir: "/sys/fs/cgroup/x", V2: true}, f)
	_, err = newFreezer(map[string]string{"memory": "/sys/fs/cgroup/memory/x"})
	require.Error(t, err)
}
