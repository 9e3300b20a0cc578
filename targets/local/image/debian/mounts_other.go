//go:build !linux

package debian

import "syscall"

// ownMounts is for Linux alone, as debootstrap is; elsewhere the program must compile, no more.
func ownMounts() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
