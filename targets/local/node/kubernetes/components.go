package main

import (
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	kubectlcli "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"

	"context"
)

func kubeAPIServer([]string) int { return cli.Run(apiserver.NewAPIServerCommand()) }

func kubeControllerManager([]string) int {
	return cli.Run(controllermanager.NewControllerManagerCommand())
}

func kubeScheduler([]string) int { return cli.Run(scheduler.NewSchedulerCommand()) }

func kubelet([]string) int {
	return cli.Run(kubeletapp.NewKubeletCommand(context.Background()))
}

func kubeProxy([]string) int { return cli.Run(proxy.NewProxyCommand()) }

func kubectl([]string) int {
	if err := cli.RunNoErrOutput(kubectlcli.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // exits with kubectl's own code and message
	}
	return 0
}
