package gobuild

import (
	"os/exec"
	"syscall"
	"time"
)

// terminateGroup makes the end of the command's context a SIGTERM to it and all its children, so that it can put
// things in order, and the end for good ten seconds later.
func terminateGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
}
