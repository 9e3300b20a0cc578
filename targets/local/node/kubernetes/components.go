package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
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

// kubectl is an administrator on a server when nothing else is configured, as k3s's is.
func kubectl(args []string) int {
	named("kubectl", args)
	if os.Getenv("KUBECONFIG") == "" {
		home, err := os.UserHomeDir()
		if err == nil {
			_, err = os.Stat(filepath.Join(home, ".kube", "config"))
		}
		if err != nil {
			if err := os.Setenv("KUBECONFIG", supervisor.AdminKubeconfig); err != nil {
				fmt.Fprintf(os.Stderr, "kubectl: %v\n", err)
				return 1
			}
		}
	}
	// kubectl's own main does this first, so that -v holds while the command is put together.
	if _, err := logs.GlogSetter(kubectlcmd.GetLogVerbosity(os.Args)); err != nil {
		fmt.Fprintf(os.Stderr, "kubectl: set log level: %v\n", err)
		return 1
	}
	if err := cli.RunNoErrOutput(kubectlcmd.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // exits with kubectl's own code and message
	}
	return 0
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
