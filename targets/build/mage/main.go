// Command mage is Mage as `go tool mage` runs it here: the same command line, and three promises more.
//
//   - A run that is ended by a signal fails. `go tool` takes the end of its tool by a signal for success (Go 1.26), and
//     Mage itself dies of SIGTERM. Here the exit code is 128 and the signal's number, as a shell says it.
//   - It is over within endWithin of that, also when only `go tool` was killed and this process was left behind.
//   - Mages that begin at the same time in one clone compile the magefile one after the other: Mage writes its generated
//     main program into the clone.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/build/parent"
)

// worker, in the environment, makes this program Mage. Without it, it watches one that is.
const worker = "CEDANA_E2E_MAGE_WORKER"

// endWithin is how long Mage and the target may take to end after a signal. The target gives itself less
// (launch.InterruptLimit).
const endWithin = 5 * time.Second

func main() {
	if os.Getenv(worker) != "" {
		os.Exit(runMage(os.Args[1:]))
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: find the program of go tool mage: %v\n", err)
		os.Exit(1)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), worker+"=1")
	os.Exit(watch(cmd, endWithin))
}

// watch runs the command in a process group of its own, so that a signal to this process's group, Ctrl-C's for one,
// reaches it once and by this process's hand. It returns the exit code.
func watch(cmd *exec.Cmd, within time.Duration) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := parent.Gone(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)

	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "Error: start mage: %v\n", err)
		return 1
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	var by syscall.Signal
	var limit <-chan time.Time
	end := func(sig syscall.Signal) {
		if by != 0 {
			return // once is enough, and the target would take a second one for impatience
		}
		by = sig
		limit = time.After(within)
		// What Mage and the magefile understand as the wish to end, whatever signal came.
		signalGroup(cmd, syscall.SIGINT)
	}
	for {
		select {
		case sig := <-signals:
			end(sig.(syscall.Signal))
		case <-gone:
			gone = nil
			end(syscall.SIGTERM)
		case <-limit:
			signalGroup(cmd, syscall.SIGKILL)
		case err := <-ended:
			signalGroup(cmd, syscall.SIGKILL) // what has outlived it
			if by != 0 {
				return 128 + int(by)
			}
			return exitCode(err)
		}
	}
}

func signalGroup(cmd *exec.Cmd, sig syscall.Signal) {
	if err := syscall.Kill(-cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(os.Stderr, "Error: end mage (process group %d) by %s: %v\n", cmd.Process.Pid, sig, err)
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			fmt.Fprintf(os.Stderr, "Error: mage was ended by %s\n", status.Signal())
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	default:
		fmt.Fprintf(os.Stderr, "Error: wait for mage: %v\n", err)
		return 1
	}
}
