package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd/apply"
	"k8s.io/kubectl/pkg/cmd/cp"
	"k8s.io/kubectl/pkg/cmd/delete"
	"k8s.io/kubectl/pkg/cmd/describe"
	"k8s.io/kubectl/pkg/cmd/drain"
	"k8s.io/kubectl/pkg/cmd/events"
	"k8s.io/kubectl/pkg/cmd/exec"
	"k8s.io/kubectl/pkg/cmd/get"
	"k8s.io/kubectl/pkg/cmd/logs"
	"k8s.io/kubectl/pkg/cmd/options"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/cmd/version"
	"k8s.io/kubectl/pkg/cmd/wait"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/cedana/cedana-e2e/node/kubernetes/supervisor"
)

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
	root, commands := kubectlCommand(genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	// Asked before the flags are parsed: those of a command that is not there are not known either.
	_, _, err := root.Find(args)
	if err != nil {
		err = fmt.Errorf("%w: a node's kubectl has %s; for everything else run a kubectl on the host with the cluster's kubeconfig",
			err, strings.Join(commands, ", "))
	} else {
		err = cli.RunNoErrOutput(root)
	}
	kubectlutil.CheckErr(err) // exits with kubectl's own code and message
	return 0
}

// kubectlCommand is kubectl with the commands that are of use on a node, and their names. k8s.io/kubectl/pkg/cmd has it with all
// of them, which take half a minute of a processor to compile, and kubectl's profiles, preferences and plugins.
func kubectlCommand(streams genericiooptions.IOStreams) (root *cobra.Command, names []string) {
	color := printers.AllowsColorOutput(streams.ErrOut)
	warnings := rest.NewWarningWriter(streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true, Color: color})
	warningsAreErrors := false
	root = &cobra.Command{
		Use:              "kubectl",
		Long:             "kubectl controls the Kubernetes cluster manager. This one has the commands that are of use on a node.",
		Run:              func(cmd *cobra.Command, _ []string) { _ = cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) { rest.SetDefaultWarningHandler(warnings) },
		PersistentPostRunE: func(*cobra.Command, []string) error {
			if count := warnings.WarningCount(); warningsAreErrors && count > 0 {
				return fmt.Errorf("%d warnings received", count)
			}
			return nil
		},
		CompletionOptions:  cobra.CompletionOptions{DisableDefaultCmd: true},
		DisableSuggestions: true, // all commands are named
	}
	root.PersistentFlags().BoolVar(&warningsAreErrors, "warnings-as-errors", false, // which version looks for
		"Treat warnings received from the server as errors and exit with a non-zero exit code")
	config := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().WithDiscoveryBurst(300).WithDiscoveryQPS(50).
		WithWarningPrinter(streams)
	config.AddFlags(root.PersistentFlags())
	matched := kubectlutil.NewMatchVersionFlags(config)
	matched.AddFlags(root.PersistentFlags())
	f := kubectlutil.NewFactory(matched)

	group := templates.CommandGroup{Message: "Commands:", Commands: []*cobra.Command{
		apply.NewCmdApply("kubectl", f, streams),
		drain.NewCmdCordon(f, streams),
		cp.NewCmdCp(f, streams),
		delete.NewCmdDelete(f, streams),
		describe.NewCmdDescribe("kubectl", f, streams),
		drain.NewCmdDrain(f, streams),
		events.NewCmdEvents(f, streams),
		exec.NewCmdExec(f, streams),
		get.NewCmdGet("kubectl", f, streams),
		logs.NewCmdLogs(f, streams),
		drain.NewCmdUncordon(f, streams), // k3d's entrypoint goes no further without, and drains when it is stopped
		version.NewCmdVersion(f, streams),
		wait.NewCmdWait(f, streams),
	}}
	root.AddCommand(group.Commands...)
	root.AddCommand(options.NewCmdOptions(streams.Out)) // which every command's help refers to
	root.InitDefaultHelpCmd()
	templates.ActsAsRootCommand(root, []string{"options"}, group)
	for _, command := range group.Commands {
		names = append(names, command.Name())
	}
	slices.Sort(names)
	return root, names
}
