package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"

	"github.com/cedana/cedana-e2e/node/kubernetes/supervisor"
)

// named makes os.Args what the program's own main would see: each reads it in its own way.
func named(name string, args []string) {
	os.Args = append([]string{name}, args...)
}

func kubeAPIServer(args []string) int {
	named("kube-apiserver", args)
	return cli.Run(apiserver.NewAPIServerCommand())
}

func kubeControllerManager(args []string) int {
	named("kube-controller-manager", args)
	return cli.Run(controllermanager.NewControllerManagerCommand())
}

func kubeScheduler(args []string) int {
	named("kube-scheduler", args)
	return cli.Run(scheduler.NewSchedulerCommand())
}

func kubelet(args []string) int {
	named("kubelet", args)
	return cli.Run(kubeletapp.NewKubeletCommand(context.Background()))
}

func kubeProxy(args []string) int {
	named("kube-proxy", args)
	return cli.Run(proxy.NewProxyCommand())
}

// ctr runs containerd's own client on the node's containerd, in the namespace of Kubernetes, as k3s's does.
func ctr(args []string) int {
	return replace("ctr", args, "CONTAINERD_ADDRESS="+supervisor.ContainerdSocket, "CONTAINERD_NAMESPACE=k8s.io")
}

// kubectl runs Debian's, which is an administrator's on a server when nothing else is configured, as k3s's is.
func kubectl(args []string) int {
	if os.Getenv("KUBECONFIG") == "" {
		return replace("kubectl", args, "KUBECONFIG="+supervisor.AdminKubeconfig)
	}
	return replace("kubectl", args)
}

// replace makes this process the node's program of that name, which is found on PATH.
func replace(program string, args []string, env ...string) int {
	path, err := exec.LookPath(program)
	if err == nil && sameFile(path, "/proc/self/exe") {
		err = fmt.Errorf("%s is this program: %w", path, fs.ErrNotExist)
	}
	if err == nil {
		err = syscall.Exec(path, append([]string{program}, args...), append(os.Environ(), env...))
	}
	fmt.Fprintf(os.Stderr, "k3s: run %s: %v\n", program, err)
	return 1
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
