package refusal

import (
	"encoding/json"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// Format is the version of checkpoints that this program makes, and the newest that it can restore. It is raised when what
// an earlier program would make of a new checkpoint is not what the checkpoint has.
const Format = 1

// Needs are what a container's checkpoint wants of where it is restored. They are in the free-form info of its row, by
// the key "needs"; a checkpoint of a program that did not tell them has none, and Format 0.
type Needs struct {
	Format int `json:"format"`
	// CPUFeatures are those that the programs have found when they were started, and may use from then on.
	CPUFeatures []string `json:"cpu_features,omitempty"`
	// Memory is what has to be in memory again, in bytes.
	Memory int64 `json:"memory"`
}

// NeedsOf reads what a checkpoint needs. Its error is a refusal: nobody knows what may be wrong with a restore of it.
func NeedsOf(c work.ContainerCheckpoint) (Needs, error) {
	var info struct {
		Needs Needs `json:"needs"`
	}
	if len(c.Info) == 0 {
		return info.Needs, nil
	}
	if err := json.Unmarshal(c.Info, &info); err != nil {
		return info.Needs, New(FormatTooNew, "what the checkpoint of container %s needs cannot be read by this version, which restores up to format %d: %v", c.Container, Format, err)
	}
	return info.Needs, nil
}

// Newer refuses a checkpoint of a format that this program does not know.
func (n Needs) Newer(container string) error {
	if n.Format <= Format {
		return nil
	}
	return New(FormatTooNew, "the checkpoint of container %s has format %d, and this version restores up to format %d: update Cedana where it is restored",
		container, n.Format, Format)
}

// LackOfMemory refuses a memory limit, in bytes, below what was in use; 0 is none.
func (n Needs) LackOfMemory(container string, limit int64) error {
	if limit <= 0 || limit >= n.Memory {
		return nil
	}
	return New(MemoryLimitTooLow, "container %s had %d bytes of memory in use at its checkpoint, and its memory limit is now %d: raise the limit, or what has set it (a LimitRange, say)",
		container, n.Memory, limit)
}

// LackOfCPU refuses a CPU without a feature that the programs may use.
func (n Needs) LackOfCPU(container, node string, has []string) error {
	var lacking []string
	for _, feature := range n.CPUFeatures {
		if !slices.Contains(has, feature) {
			lacking = append(lacking, feature)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return New(CPUFeatureMissing, "the CPU of node %s lacks %s, which the programs of container %s may use: restore it on a node that has that",
		node, strings.Join(lacking, ", "), container)
}

// CPUFeatures are those that programs on this machine can find and use, sorted.
func CPUFeatures() []string {
	var names []string
	for _, set := range []any{cpu.X86, cpu.ARM64} {
		fields := reflect.ValueOf(set)
		for i := range fields.NumField() {
			name, is := strings.CutPrefix(fields.Type().Field(i).Name, "Has")
			if is && fields.Field(i).Bool() {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// architectures are Go's and Kubernetes' names for what the kernel calls otherwise.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}

// Architecture is that of a checkpoint, as Kubernetes calls it; empty when its platform, such as linux/x86_64, does not
// say.
func Architecture(c work.ContainerCheckpoint) string {
	_, name, _ := strings.Cut(c.Platform, "/")
	if known := architectures[name]; known != "" {
		return known
	}
	return name
}

// OfAnother refuses a checkpoint of an architecture that is none of those that there are.
func OfAnother(c work.ContainerCheckpoint, where string, there ...string) error {
	wanted := Architecture(c)
	if wanted == "" || slices.Contains(there, wanted) {
		return nil
	}
	return New(OtherArchitecture, "the checkpoint of container %s is of the architecture %s, and %s is %s: restore it on a node of its own architecture",
		c.Container, wanted, where, strings.Join(there, ", "))
}

// Machine refuses what this machine, a node, cannot restore with a container's memory limit in bytes, 0 for none.
func Machine(c work.ContainerCheckpoint, node string, memoryLimit int64) error {
	needs, err := NeedsOf(c)
	for _, refused := range []error{
		err, needs.Newer(c.Container), OfAnother(c, "node "+node, runtime.GOARCH),
		needs.LackOfCPU(c.Container, node, CPUFeatures()), needs.LackOfMemory(c.Container, memoryLimit),
	} {
		if refused != nil {
			return refused
		}
	}
	return nil
}
