package sensitivity

import (
	"slices"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
)

// workloadsTest has the real programs' cases as its subtests.
const workloadsTest = "TestWorkloads"

// Survivors are the workloads that a checkpoint and a restore keep: those whose checkpoint is refused notice nothing of a restore.
var Survivors = []string{
	"redis", "redis-aof", "postgresql", "nginx", "numpy", "monte-carlo-pi", "random-forest", "xgboost", "pytorch", "llama", "java", "go", "sqlite", "memcached", "lammps", "hpl",
}

// writers are those of them that keep their data in a volume.
var writers = []string{"redis-aof", "postgresql", "sqlite"}

// hasNoFiles is of a program that keeps nothing in its root file system.
func hasNoFiles(name string) bool { return name == "go" || name == "sqlite" }

// workloadsLimit bounds a group of which each case fails, some after waiting.
const workloadsLimit = 15 * time.Minute

// Workloads is the catalogue for SUITE=workloads: what each program's case has to notice. A flipped page is not in it: the one in the
// middle of a real program's memory is seldom one that its case reads (3 of the first 12 noticed).
var Workloads = []Row{
	{fault.ColdStart, tests(workloadsTest), says(`expected: (what only the same process can tell|the restored pod goes on from the checkpoint)`), nil, cases(Survivors), workloadsLimit},
	{fault.RootfsLost, tests(workloadsTest), says(`No such file or directory|expected: `), nil, cases(slices.DeleteFunc(slices.Clone(Survivors), hasNoFiles)), workloadsLimit},
	{fault.EmptyDirLost, tests(workloadsTest), says(`No such file or directory|expected: `), nil, cases(writers), workloadsLimit},
}

// cases are the full names of workloads' subtests.
func cases(names []string) []string {
	var full []string
	for _, name := range names {
		full = append(full, workloadsTest+"/"+name)
	}
	return full
}
