// Package parent tells a process that the one which started it, or depends on it, is gone: nobody reads its exit code
// then, and nobody will end it.
package parent

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// interval is between two looks. A look is one system call.
const interval = 200 * time.Millisecond

// Gone is closed when this process has another parent than at the call, or never if ctx ends before.
func Gone(ctx context.Context) <-chan struct{} {
	first := os.Getppid()
	return when(ctx, func() bool { return os.Getppid() != first })
}

// Ended is closed when no process has that id any more, or never if ctx ends before.
func Ended(ctx context.Context, pid int) <-chan struct{} {
	return when(ctx, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}

func when(ctx context.Context, is func() bool) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for !is() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		close(ended)
	}()
	return ended
}
