package settings

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Tests is what the tests decide by. It is part of the file that they are given ([TestFile]).
type Tests struct {
	// CedanaNamespace is where Cedana runs; Namespace is the prefix of every test's own namespace.
	CedanaNamespace string `json:"cedana_namespace"`
	Namespace       string `json:"namespace"`
	// RuncRoot is where containerd keeps runc's state on every node: its runc root plus its namespace.
	RuncRoot string `json:"runc_root"`
	// PodTimeout bounds a pod's start and its deletion, each; the others one checkpoint and one restore.
	PodTimeout        Duration `json:"pod_timeout"`
	CheckpointTimeout Duration `json:"checkpoint_timeout"`
	RestoreTimeout    Duration `json:"restore_timeout"`
	// TimeoutScale stretches the limits that are not here, see package stretch.
	TimeoutScale float64 `json:"timeout_scale"`
	// Suite is the group of tests to run.
	Suite Group `json:"suite"`
	// Seed decides what TestChaos does; ChaosTime is for how long it begins new rounds.
	Seed      uint64   `json:"seed"`
	ChaosTime Duration `json:"chaos_time"`
	// Cycles is how often TestCycles checkpoints and restores, Samples how often TestBudget and `mage bench` measure.
	Cycles  int `json:"cycles"`
	Samples int `json:"samples"`
	// OpenAPI is the file of the document that the API's exchanges are checked against; empty for none.
	OpenAPI string `json:"openapi,omitempty"`
	// Keep leaves the namespaces of failed tests in place.
	Keep bool `json:"keep"`
	// Images are used in place of others: of those that a manifest names, or of the programs' of SUITE=workloads. One that begins
	// with @ is a program's of the lab.
	Images map[string]string `json:"images,omitempty"`
	// Try is what `mage try` tries.
	Try Try `json:"try,omitzero"`
}

// Try is a user's own pods, to be seen through a checkpoint and a restore.
type Try struct {
	// Manifests is a file or a directory; empty for none.
	Manifests string `json:"manifests,omitempty"`
	// Check is a shell command whose output in the pod is to be the same before and after; empty for none.
	Check string `json:"check,omitempty"`
}

// Duration is a time.Duration that JSON has as Go spells it: "1m30s".
type Duration struct{ time.Duration }

// MarshalText spells it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a Go duration above zero.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	if err == nil && value <= 0 {
		err = fmt.Errorf("%q is not a duration above zero", text)
	}
	d.Duration = value
	return err
}

// LongestOperation is as long as a checkpoint or a restore may be given. What is between a test and the containers, such
// as the kubelet, waits for so long, and leaves the rest to whoever does the work.
const LongestOperation = time.Hour

// maxNamespacePrefix leaves room for a test's name and the run id in a namespace's 63 characters.
const maxNamespacePrefix = 24

// readTests leaves CedanaNamespace and RuncRoot to others, who declare them.
func readTests(v *Variables) Tests {
	duration := func(d Variable) Duration { return Duration{v.Duration(d)} }
	operation := func(d Variable) Duration {
		value := Duration{v.Limit(d)}
		switch {
		case value.Duration <= LongestOperation:
		case !v.Given(d.Name): // A default on a slow machine: E2E_TIMEOUT_SCALE.
			value.Duration = LongestOperation
		default:
			v.Problem(d.Name, fmt.Sprintf("%s is more than %s", value, LongestOperation), d.example())
		}
		return value
	}
	return Tests{
		Suite: Group(v.OneOf(Variable{
			Name: "SUITE", Default: string(Smoke), Doc: "group of tests: `smoke`, `full`, `chaos`, `measure`, `workloads`",
		}, string(Smoke), string(Full), string(Chaos), string(Measure), string(Workloads))),
		Namespace:         v.Label(Variable{Name: "NAMESPACE", Default: "cedana-e2e", Doc: "prefix of the tests' namespaces, at most 24 characters"}, maxNamespacePrefix),
		PodTimeout:        Duration{v.Limit(Variable{Name: "E2E_POD_TIMEOUT", Default: "60s", Doc: "how long a test waits for a pod to be Ready, and for it to be gone"})},
		CheckpointTimeout: operation(Variable{Name: "E2E_CHECKPOINT_TIMEOUT", Default: "60s", Doc: "how long a checkpoint may take, at most `1h`: a test waits for so long, and the stand-in's dump is given up then"}),
		RestoreTimeout:    operation(Variable{Name: "E2E_RESTORE_TIMEOUT", Default: "120s", Doc: "how long a restore may take, at most `1h`: a test waits for so long, and the stand-in gives up then"}),
		Seed:              readSeed(v),
		ChaosTime:         duration(Variable{Name: "E2E_CHAOS_TIME", Default: "1m", For: "`SUITE=chaos`", Doc: "for how long new rounds begin"}),
		Cycles:            v.Number(Variable{Name: "E2E_CYCLES", Default: "20", For: "`SUITE=measure`", Doc: "how often a pod under load is checkpointed and restored"}, 1, 10000),
		Samples:           v.Number(Variable{Name: "E2E_SAMPLES", Default: "5", For: "`SUITE=measure`, `bench`", Doc: "how often each time is taken"}, 1, 1000),
		OpenAPI: v.Path(Variable{
			Name: "E2E_OPENAPI", Example: "openapi.json",
			Doc: "OpenAPI document (3.0, 3.1): every exchange with the propagator is checked against it, see [openapi-drift.md](openapi-drift.md)",
		}),
		Keep:   v.Bool(Variable{Name: "E2E_KEEP", Doc: "`1`: namespaces of failed tests are kept"}),
		Images: readImages(v),
		Try: Try{
			Manifests: v.Path(Variable{Name: "POD", Example: "pod.yaml", For: "`try`", Doc: "manifest, or directory of manifests, of the pods to try: see [try.md](try.md)"}),
			Check: v.Text(Variable{
				Name: "CHECK", Example: "redis-cli dbsize", For: "`try`",
				Doc: "shell command that is run in the first container before and after; its output has to be the same",
			}),
		},
	}
}

// ImagesVariable puts images in place of others.
const ImagesVariable = "E2E_IMAGES"

// readImages takes NAME=IMAGE; a name of an image has no = in it.
func readImages(v *Variables) map[string]string {
	d := Variable{
		Name: ImagesVariable, Example: "redis:8=@redis", For: "`try`, `SUITE=workloads`",
		Doc: "images in place of others, `NAME=IMAGE` with commas between: of those that a manifest names, or of a program of `SUITE=workloads` by its name. `@PROGRAM` is the lab's own image of a program",
	}
	var images map[string]string
	for _, one := range v.List(d) {
		name, image, ok := strings.Cut(one, "=")
		if !ok || name == "" || image == "" {
			v.Problem(d.Name, fmt.Sprintf("%q is not NAME=IMAGE", one), d.Example)
			continue
		}
		if images == nil {
			images = map[string]string{}
		}
		images[name] = image
	}
	return images
}

// readSeed takes any number, and by default another one each time.
func readSeed(v *Variables) uint64 {
	d := Variable{Name: "SEED", DefaultText: "random, and printed", Example: "42", For: "`SUITE=chaos`", Doc: "what is done: the same seed is the same plan"}
	value := v.Text(d)
	if value == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		v.Problem(d.Name, fmt.Sprintf("%q is not a whole number from 0 on", value), d.Example)
	}
	return seed
}

// Group is a set of tests that are run together; SUITE names one.
type Group string

const (
	// Smoke is what every run has: each main path once.
	Smoke Group = "smoke"
	// Full is the whole catalogue; as SUITE it has Smoke in it.
	Full Group = "full"
	// Chaos breaks nodes and helpers under running pods.
	Chaos Group = "chaos"
	// Measure has the tests that take times, and so have the machine to themselves.
	Measure Group = "measure"
	// Workloads has real programs under load.
	Workloads Group = "workloads"
	// Bench is what `mage bench` runs; SUITE does not take it.
	Bench Group = "bench"
	// TryPods is what `mage try` runs; SUITE does not take it.
	TryPods Group = "try"
)

// Has reports whether a run of this group runs the tests of another.
func (g Group) Has(other Group) bool { return g == other || g == Full && other == Smoke }
