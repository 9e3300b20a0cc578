package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// AsInit runs this program again as a child and does the duties of process 1: it passes signals on and reaps orphans (a shim's, a killed
// program's). It returns the child's exit code. k3d and `docker run --init` put their own init in front, and it is not needed then.
func AsInit() (int, error) {
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Args[0] = os.Args[0]
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	if err := child.Start(); err != nil {
		return 1, fmt.Errorf("start supervisor: %w", err)
	}
	go func() {
		for s := range signals {
			_ = child.Process.Signal(s) // it may have ended already
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for children: %w", err)
		case pid == child.Process.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == child.Process.Pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		}
	}
}
