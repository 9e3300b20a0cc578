package report

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func machineRun(suite, pattern string, tests ...*Test) *Run {
	return &Run{Suite: suite, Pattern: pattern, Start: time.Date(2026, 12, 1, 5, 0, 0, 0, time.UTC), Tests: tests, Versions: []Fact{
		{"backend", "local"}, {"Kubernetes", "v1.37.2"}, {"container runtime", "containerd://2.1.9"}, {"kernel", "6.12-cloud-4 amd64"}, {"runc", "1.3.6"}, {"CRIU", "4.2.1"},
		{"cgroup", "v2"}, {SystemFact, "Debian GNU/Linux 13 (trixie)"}, {EngineFact, "Docker 26.1.5, overlay2"}, {SecurityFact, "apparmor, seccomp"}, {UserFact, "root"},
	}}
}

// A row is a machine; its groups of tests are filled by one run after the other, and the rest of the table stays.
func TestARunComesIntoTheRowOfItsMachine(t *testing.T) {
	t.Parallel()
	p := ParsePlatforms("# Platforms\n\n| other | table |\n|---|---|\n| 1 | 2 |\n")
	require.True(t, p.Add(machineRun("smoke", "", &Test{Name: "TestA", Outcome: Passed}, &Test{Name: "TestB", Outcome: Passed})))
	require.True(t, p.Add(machineRun("full", "", &Test{Name: "TestA", Outcome: Passed}, &Test{Name: "TestC", Outcome: Skipped}, &Test{Name: "TestD", Outcome: Failed})))
	other := machineRun("smoke", "", &Test{Name: "TestA", Outcome: Passed})
	other.Versions[6].Value = "v1"
	p = ParsePlatforms(p.Table())
	require.True(t, p.Add(other))
	require.True(t, p.Add(machineRun("full", "TestA|TestE", &Test{Name: "TestA", Outcome: Passed}, &Test{Name: "TestE", Outcome: Passed})))
	lines := strings.Split(strings.TrimSpace(p.Table()), "\n")
	require.Len(t, lines, 4, "a title, a line below it, two machines")
	require.True(t, strings.HasPrefix(lines[2], "| Debian GNU/Linux 13 (trixie) | 6.12 amd64 | v1 | apparmor, seccomp | Docker 26.1.5, overlay2 | root |"), lines[2])
	require.True(t, strings.HasSuffix(lines[3],
		"| 2 passed (2026-12-01) | 1 passed; 1 failed: D; 1 skipped: C (2026-12-01) | 2 passed: A, E (2026-12-01) |"), lines[3])
}

func TestARunOfAnUnknownMachineIsNotInTheTable(t *testing.T) {
	t.Parallel()
	p := &Platforms{}
	run := machineRun("smoke", "")
	run.Versions = run.Versions[:5]
	require.False(t, p.Add(run), "its machine is not known")
	require.False(t, p.Add(machineRun("chaos", "")), "the group has no column")
	require.Equal(t, 2, strings.Count(p.Table(), "\n"))
}
