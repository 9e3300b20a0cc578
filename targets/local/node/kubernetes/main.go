// Command k3s is every Kubernetes program of a node built from source, in one binary: the control plane, the kubelet, kube-proxy
// and CoreDNS, and the supervisor (server, agent) that runs them, and the node's containerd and etcd, the way k3s does. Its kubectl
// is Debian's.
//
// The program is chosen by the name it is called by (kubectl, kubelet, ...), else by its first argument (k3s kubectl ...).
//
// # Build
//
// From the repository's root, with VERSION being the version of k8s.io/kubernetes in go.mod and a suffix that says that this is not
// k3s's own build:
//
//	CGO_ENABLED=0 GOGC=off GOMEMLIMIT=1GiB go build -C targets/local/node/kubernetes \
//	    -gcflags="all=-dwarf=false -l" -gcflags=std= \
//	    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2+source ..." \
//	    -o OUT/k3s .
//
// build.json beside this file has the same, for the program that builds the node image. This is the largest compile of the project, and
// the flags are about its time: debugging information that the linker would drop anyway is not made (a quarter of the compile's time),
// nothing is inlined (another quarter), the compiler collects no garbage before it has a gigabyte (a tenth), and the standard library
// and the paths are left as everywhere else so that they are compiled once.
//
// build.json also names source files to leave out: helpers for Kubernetes' own unit tests which are not called _test.go, and for
// which alone client-go's fakes would be compiled (61 packages). It is the same program with them, as the command above builds it.
//
// The tests are in the packages below; with the same flags they share what was compiled:
//
//	CGO_ENABLED=0 go test -C targets/local/node/kubernetes -gcflags="all=-dwarf=false -l" -gcflags=std= ./options ./pki ./supervisor
package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"k8s.io/component-base/version"

	"github.com/cedana/cedana-e2e/node/kubernetes/options"
	"github.com/cedana/cedana-e2e/node/kubernetes/supervisor"
)

// programs maps a program's name to its main function, which gets the arguments after the name and returns the exit code.
var programs = map[string]func(args []string) int{
	"agent":                   node(options.Agent, supervisor.RunAgent),
	"coredns":                 coreDNS,
	"ctr":                     ctr,
	"kube-apiserver":          kubeAPIServer,
	"kube-controller-manager": kubeControllerManager,
	"kube-proxy":              kubeProxy,
	"kube-scheduler":          kubeScheduler,
	"kubectl":                 kubectl,
	"kubelet":                 kubelet,
	"server":                  node(options.Server, supervisor.RunServer),
}

func main() {
	name, args := options.Program(os.Args, func(name string) bool { return programs[name] != nil })
	if name == "--version" || name == "-v" {
		fmt.Printf("k3s version %s (%.8s)\n", version.Get().GitVersion, version.Get().GitCommit)
		return
	}
	run, ok := programs[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "k3s: unknown program %q: know %s\n", name, strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
		os.Exit(2)
	}
	os.Exit(run(args))
}

// node makes the main function of a role. Bad arguments are exit code 2, a node that fails is exit code 1.
func node(role options.Role, run func(context.Context, *options.Options, *slog.Logger) error) func([]string) int {
	return func(args []string) int {
		if os.Getpid() == 1 {
			code, err := supervisor.AsInit()
			if err != nil {
				fmt.Fprintf(os.Stderr, "k3s %s: %v\n", role, err)
			}
			return code
		}
		log := slog.New(slog.NewTextHandler(os.Stdout, nil))
		hostname, err := os.Hostname()
		if err != nil {
			log.Error("read host name", "error", err)
			return 1
		}
		o, err := options.Parse(role, args, os.Getenv, hostname)
		if err != nil {
			log.Error(err.Error())
			return 2
		}
		ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
		defer cancel()
		if err := run(ctx, o, log); err != nil {
			log.Error(err.Error())
			return 1
		}
		return 0
	}
}
