package workloads

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/sensitivity"
	"github.com/cedana/cedana-e2e/targets/local/workload"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
)

func TestEachWorkloadIsWhole(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	tested := append(workload.TestedPrograms(), "nginx")
	used := map[string]bool{}
	for _, w := range All {
		require.False(t, names[w.Name], w.Name)
		names[w.Name], used[w.Program] = true, true
		require.Contains(t, tested, w.Program)
		require.Equal(t, w.End == "", w.Want == "", w.Name)
		for what, text := range map[string]string{"public image": w.Public, "version": w.Version, "same": w.Same, "count": w.Count, "checked": w.Checked} {
			require.NotEmpty(t, text, "%s: %s", w.Name, what)
		}
		require.Contains(t, w.Script, "/tmp/ready", w.Name)
		for _, script := range []string{w.Script, w.Version, w.Same, w.Count, atCount(w.At, 7), w.End} {
			out, err := exec.Command("sh", "-n", "-c", script).CombinedOutput()
			require.NoError(t, err, "%s: %s: %s", w.Name, script, out)
		}
	}
	for _, program := range tested {
		require.True(t, used[program], "the image of %s is made for nothing", program)
	}
}

// Those whose checkpoint is refused notice nothing of a restore; `mage sensitivity` breaks all others.
func TestEachWorkloadThatIsRestoredIsBrokenOnPurpose(t *testing.T) {
	t.Parallel()
	var restored []string
	for _, w := range All {
		if w.Refused == "" {
			restored = append(restored, w.Name)
		}
	}
	require.ElementsMatch(t, restored, sensitivity.Survivors)
}

func TestAnImageIsAskedForMadeOrPublic(t *testing.T) {
	t.Parallel()
	w := Workload{Program: "redis", Public: "docker.io/redis"}
	env := func(images, programs map[string]string, cluster string) *environment.Environment {
		return &environment.Environment{TestFile: settings.TestFile{Tests: settings.Tests{Images: images}, Programs: programs, ClusterName: cluster}}
	}
	mine, lab := map[string]string{"redis": "mine"}, map[string]string{"redis": "lab"}
	require.Equal(t, "mine", w.Image(env(mine, lab, "c")))
	require.Equal(t, "lab", w.Image(env(nil, lab, "c")))
	require.Equal(t, "docker.io/redis", w.Image(env(nil, nil, "")))
	require.Empty(t, w.Image(env(nil, nil, "c")), "the lab has made none")
}

func TestAProgramThatIsNothingForRootIsAnotherUsersWhereThatCanBeDumped(t *testing.T) {
	t.Parallel()
	w := Workload{Name: "p", User: 26, PublicUser: 999}
	require.EqualValues(t, 26, *w.Pod("i", true, false).Spec.SecurityContext.RunAsUser)
	require.Nil(t, w.Pod("i", true, true).Spec.SecurityContext)
	require.EqualValues(t, 999, *w.Pod("i", false, true).Spec.SecurityContext.RunAsUser)
	require.Nil(t, Workload{}.Pod("i", false, false).Spec.SecurityContext)
}

func TestTheTableHasARowForEachWorkload(t *testing.T) {
	t.Parallel()
	text := Document([]*Row{
		{Workload: "redis", Version: "8.0", MemoryMiB: 12, Checkpoint: 1234567 * time.Microsecond, Restore: time.Second, GoesOn: 2 * time.Second, ColdStart: 3 * time.Second, ArchiveMiB: 3.25, Checked: "keys", Verdict: "survived"},
		{Workload: "node", Version: "24", MemoryMiB: 66, Checked: "the source", Verdict: "refused"},
	})
	require.Equal(t, 4, strings.Count(text, "|\n"))
	require.Contains(t, text, "| node | 24 | 66 | – | – | – | 0s | – | the source | refused |")
	require.Contains(t, text, "| redis | 8.0 | 12 | 1.235s | 1s | 2s | 3s | 3.2 | keys | survived |")
}
