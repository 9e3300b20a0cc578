package options

import (
	"slices"
	"testing"
)

func TestProgramByNameOrByFirstArgument(t *testing.T) {
	t.Parallel()
	known := func(name string) bool { return name == "kubectl" || name == "server" }
	for _, c := range []struct {
		argv []string
		name string
		args []string
	}{
		{[]string{"/usr/bin/kubectl", "get", "pods"}, "kubectl", []string{"get", "pods"}},
		{[]string{"/bin/k3s", "kubectl", "get"}, "kubectl", []string{"get"}},
		{[]string{"/bin/k3s", "server", "--tls-san=x"}, "server", []string{"--tls-san=x"}},
		{[]string{"/bin/k3s", "--version"}, "--version", nil},
		{[]string{"/bin/k3s"}, "", nil},
		{nil, "", nil},
	} {
		name, args := Program(c.argv, known)
		if name != c.name || !slices.Equal(args, c.args) {
			t.Errorf("%v: got %q %v, want %q %v", c.argv, name, args, c.name, c.args)
		}
	}
}
