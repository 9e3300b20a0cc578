package debian

import "syscall"

// ownMounts starts a process in a mount namespace and a process group of its own.
func ownMounts() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true}
}
