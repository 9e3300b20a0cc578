// Command k3s is every Kubernetes program of a source-built node in one binary: the control plane, the kubelet, kube-proxy, kubectl,
// etcd and CoreDNS, and the supervisor (server, agent) that runs them the way k3s does.
//
// The program is chosen by the name it is called by (kubectl, kubelet, ...), else by its first argument (k3s kubectl ...).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// programs maps a program's name to its main function, which gets the arguments after the name and returns the exit code.
var programs = map[string]func(args []string) int{
	"coredns":                 coreDNS,
	"etcd":                    etcdServer,
	"kube-apiserver":          kubeAPIServer,
	"kube-controller-manager": kubeControllerManager,
	"kube-proxy":              kubeProxy,
	"kube-scheduler":          kubeScheduler,
	"kubectl":                 kubectl,
	"kubelet":                 kubelet,
}

func main() {
	name, args := choose(os.Args)
	run, ok := programs[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "k3s: unknown program %q: know %s\n", name, strings.Join(names(), ", "))
		os.Exit(2)
	}
	// The programs read os.Args themselves, each through its own flag library.
	os.Args = append([]string{name}, args...)
	os.Exit(run(args))
}

// choose returns the program's name and its arguments.
func choose(argv []string) (string, []string) {
	if len(argv) == 0 {
		return "", nil
	}
	name := filepath.Base(argv[0])
	if _, ok := programs[name]; ok {
		return name, argv[1:]
	}
	if len(argv) == 1 {
		return "", nil
	}
	return argv[1], argv[2:]
}

func names() []string {
	all := make([]string, 0, len(programs))
	for name := range programs {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
