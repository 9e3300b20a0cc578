package parent

import "syscall"

// Bind has the kernel send a process that is to be started a signal when the thread ends that started it.
func Bind(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
