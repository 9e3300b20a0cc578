package refusals

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/tests/pods"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// Case is a restore that must not happen.
type Case struct {
	Name string
	// code and says, a pattern, are what the refusal has to have.
	code, says string
	// image is what the pod runs; nil means the counter's image. prepare is done before the pod is made.
	image   func(*Refusals) string
	prepare func(*Refusals)
	options []pods.Option
	// spoil brings about what is wrong, calls refused, once or for each variety of it, and returns what mends it.
	spoil func(r *Refusals, c *steps.Checkpoint, refused func(what string)) (mend func())
}

const (
	claim  = "data"
	config = "settings"
	// memoryMiB is what a counter holds, limitMiB less than that.
	memoryMiB, limitMiB = 64, 32
)

// All are the cases that can be beside other tests.
var All = []Case{
	{
		Name: "image changed", code: "ImageChanged", says: `container counter ran the image sha256:\S+ when it was checkpointed, and its image on this node is \S+:`,
		image: (*Refusals).ownImage,
		spoil: func(r *Refusals, _ *steps.Checkpoint, refused func(string)) func() {
			r.tag(r.Env.ImageNginx)
			refused("into another image of the same name")
			return func() { r.tag(r.Env.ImageCounter) }
		},
	},
	{
		Name: "image gone", code: "ImageMissing", says: `container counter: cannot start: ErrImagePull: .*` + registry,
		image: (*Refusals).ownImage,
		spoil: func(r *Refusals, _ *steps.Checkpoint, refused func(string)) func() {
			r.onNode(`ctr -n k8s.io images rm --sync "$1"`, r.imageName())
			refused("whose image is gone from the node, and cannot be pulled")
			return func() { r.tag(r.Env.ImageCounter) }
		},
	},
	{
		Name: "memory limit", code: "MemoryLimitTooLow", says: fmt.Sprintf(`container counter had [67]\d{7} bytes of memory in use at its checkpoint, and its memory limit is now %d:`, limitMiB<<20),
		options: []pods.Option{pods.Memory(memoryMiB)},
		spoil:   lowerLimit,
	},
	{
		Name: "volume missing", code: "VolumeMissing", says: `volume ` + config + ` of the pod is made of the config map ` + config + `, which is not in namespace`,
		prepare: func(r *Refusals) { r.ConfigMapAndSecret(config, "kept") },
		options: []pods.Option{pods.ConfigMap(config, "/etc/e2e/config")},
		spoil:   deleteConfigMap,
	},
	{
		Name: "volume of another type", code: "VolumeChanged", says: `a path of the node mounted at /data when it was checkpointed, and has a volume of type kubernetes.io~local-volume there now`,
		prepare: func(r *Refusals) { r.claim(r.hostPath()) },
		options: []pods.Option{pods.Claim(claim, "/data")},
		spoil: func(r *Refusals, _ *steps.Checkpoint, refused func(string)) func() {
			r.unclaim()
			r.claim(r.local())
			refused("whose persistent volume claim is of another type of volume")
			return func() {
				r.unclaim()
				r.claim(r.hostPath())
			}
		},
	},
	{
		Name: "CPU features", code: "CPUFeatureMissing", says: `the CPU of node \S+ lacks E2ENotYetMade, which`,
		spoil: changed("to a CPU that lacks a feature", func(_ *Refusals, row *described) {
			row.needs["cpu_features"] = append(row.needs["cpu_features"].([]any), "E2ENotYetMade")
		}),
	},
	{
		Name: "architecture", code: "OtherArchitecture", says: `the checkpoint of container counter is of the architecture (arm64|amd64), and every node of the cluster is (amd64|arm64):`,
		spoil: changed("to another architecture", func(r *Refusals, row *described) {
			row.platform = "linux/aarch64"
			if r.node.Status.NodeInfo.Architecture == "arm64" {
				row.platform = "linux/x86_64"
			}
		}),
	},
	{
		Name: "newer format", code: "FormatTooNew", says: `the checkpoint of container counter has format 1000, and this version restores up to format \d+:`,
		spoil: changed("of a checkpoint of a newer format", func(_ *Refusals, row *described) { row.needs["format"] = 1000 }),
	},
	{
		Name: "archive damaged", code: "ArchiveDamaged", says: `archive of container counter is damaged: stored are \d+ bytes of sha256 \S+, the helper reported \d+ of`,
		options: []pods.Option{pods.EmptyDir("data", "/data"), pods.Env("COUNTER_DIR", "/data")},
		spoil:   damage,
	},
}

// lowerLimit gives the namespace's pods a limit of memory that the checkpoint has no room in.
func lowerLimit(r *Refusals, _ *steps.Checkpoint, refused func(string)) func() {
	r.Helper()
	api := r.Kube.CoreV1().LimitRanges(r.Namespace)
	limit := resource.NewQuantity(limitMiB<<20, resource.BinarySI)
	_, err := api.Create(r.Ctx, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "low"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{corev1.ResourceMemory: *limit},
		}}},
	}, metav1.CreateOptions{})
	r.Must(err, "create limit range low")
	limited := func(want int64) func(*corev1.Pod, error) bool {
		return func(p *corev1.Pod, err error) bool {
			return err == nil && p.Spec.Containers[0].Resources.Limits.Memory().Value() == want
		}
	}
	asItIs := func(*corev1.Pod) {}
	r.Admission("pods with the limit of the limit range", asItIs, limited(limit.Value()))
	refused("into a lower memory limit than what was in use")
	return func() {
		r.Must(api.Delete(r.Ctx, "low", metav1.DeleteOptions{}), "delete limit range low")
		r.Admission("pods without a limit", asItIs, limited(0))
	}
}

func deleteConfigMap(r *Refusals, _ *steps.Checkpoint, refused func(string)) func() {
	r.Helper()
	api := r.Kube.CoreV1().ConfigMaps(r.Namespace)
	there, err := api.Get(r.Ctx, config, metav1.GetOptions{})
	r.Must(err, "get config map %s", config)
	r.Must(api.Delete(r.Ctx, config, metav1.DeleteOptions{}), "delete config map %s", config)
	refused("without one of the pod's volumes")
	return func() {
		there.ObjectMeta = metav1.ObjectMeta{Name: config}
		_, err := api.Create(r.Ctx, there, metav1.CreateOptions{})
		r.Must(err, "create config map %s", config)
	}
}

// described is what a checkpoint's row says of where it can be restored.
type described struct {
	platform string
	needs    map[string]any
}

// changed has the row of the checkpoint say something else, as if it was made elsewhere.
func changed(what string, change func(*Refusals, *described)) func(*Refusals, *steps.Checkpoint, func(string)) func() {
	return func(r *Refusals, c *steps.Checkpoint, refused func(string)) func() {
		r.Helper()
		row := r.row(c)
		info := map[string]any{}
		r.Must(json.Unmarshal(row.Info, &info), "read the info of checkpoint %s", row.ID)
		needs, ok := info["needs"].(map[string]any)
		r.That(ok, "the info of checkpoint "+row.ID+" has what it needs", string(row.Info))
		now := &described{row.Platform, needs}
		change(r, now)
		told, err := json.Marshal(info)
		r.Must(err, "encode the info of checkpoint %s", row.ID)
		r.putInfo(row, now.platform, told)
		refused(what)
		return func() { r.putInfo(row, row.Platform, row.Info) }
	}
}
