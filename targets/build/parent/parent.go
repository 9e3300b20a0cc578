// Package parent tells a process that the one which started it is gone: nobody reads its exit code
// then, and nobody will end it.
package parent

import (
	"context"
	"os"
	"time"
)

// interval is between two looks. A look is one system call.
const interval = 200 * time.Millisecond

// Gone is closed when this process has another parent than at the call, or never if ctx ends before.
func Gone(ctx context.Context) <-chan struct{} {
	first := os.Getppid()
	gone := make(chan struct{})
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for os.Getppid() == first {
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
