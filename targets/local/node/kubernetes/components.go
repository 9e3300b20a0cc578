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
	path, err := exec.LookPath("ctr")
	if err == nil && sameFile(path, "/proc/self/exe") {
		err = fmt.Errorf("%s is this program: %w", path, fs.ErrNotExist)
	}
	if err == nil {
		env := append(os.Environ(), "CONTAINERD_ADDRESS="+supervisor.ContainerdSocket, "CONTAINERD_NAMESPACE=k8s.io")
		err = syscall.Exec(path, append([]string{"ctr"}, args...), env)
	}
	fmt.Fprintf(os.Stderr, "k3s: run ctr: %v\n", err)
	return 1
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
