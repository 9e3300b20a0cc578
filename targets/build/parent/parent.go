// Package parent tells a process that the one which started it is gone: nobody reads its exit code
// then, and nobody will end it.
package parent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// interval is between two looks. A look is one system call.
const interval = 200 * time.Millisecond

// Gone is closed when this process has another parent than at the call, or never if ctx ends before.
func Gone(ctx context.Context) <-chan struct{} { return changed(ctx, os.Getppid) }

// GroupGone is [Gone] of the leader of this process's group: programs in between may outlive the one that started them all.
// On systems without /proc it is never closed.
func GroupGone(ctx context.Context) <-chan struct{} {
	leader := syscall.Getpgrp()
	return changed(ctx, func() int { return parentOf(leader) })
}

// parentOf is 0 where there is no such process.
func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The program's name is in parentheses, and may have some.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1]) // the kernel's
	return parent
}

func changed(ctx context.Context, parent func() int) <-chan struct{} {
	first := parent()
	gone := make(chan struct{})
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for parent() == first {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		close(gone)
	}()
	return gone
}
