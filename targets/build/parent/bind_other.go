//go:build !linux

package parent

import "syscall"

// Bind does nothing: only Linux tells a process of its parent's end.
func Bind(*syscall.SysProcAttr, syscall.Signal) {}
