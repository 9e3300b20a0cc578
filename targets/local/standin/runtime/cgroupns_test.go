package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
)

func TestACgroupNamespaceIsMadeWhereTheContainerIsToHaveItsOwn(t *testing.T) {
	t.Parallel()
	of := func(namespaces ...specs.LinuxNamespace) *specs.Spec {
		return &specs.Spec{Linux: &specs.Linux{Namespaces: namespaces}}
	}
	require.True(t, wantsCgroupNamespace(of(specs.LinuxNamespace{Type: specs.PIDNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})))
	require.False(t, wantsCgroupNamespace(of(specs.LinuxNamespace{Type: specs.CgroupNamespace, Path: "/proc/1/ns/cgroup"})), "it is to share another's")
	require.False(t, wantsCgroupNamespace(of(specs.LinuxNamespace{Type: specs.PIDNamespace})))
	require.False(t, wantsCgroupNamespace(&specs.Spec{}))
}

func TestRuncFindsTheProgramUnderCRIUsNameAndTheProgramFindsCRIU(t *testing.T) {
	bin := t.TempDir()
	itself := filepath.Join(bin, CRIUName)
	require.NoError(t, os.WriteFile(itself, []byte("#!/bin/sh\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho the program, for \"$"+criuVariable+"\"\n"), 0o755))

	cmd := exec.Command("/bin/sh", "-c", CRIUName)
	require.NoError(t, takeCRIUsName(cmd, program, filepath.Join(t.TempDir(), "bin")))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "the program, for "+itself+"\n", string(out))
}

func TestCRIUIsNotGuessed(t *testing.T) {
	t.Setenv(criuVariable, "")
	require.ErrorContains(t, CRIU([]string{"swrk", "3"}), criuVariable+" is not set")
}
