package console

import (
	"context"
	"time"
)

// Progress hears what is being done. [Console] is one.
type Progress interface {
	Step(format string, args ...any)
}

// Quiet is the progress of someone who does not want to hear.
type Quiet struct{}

// Step does nothing.
func (Quiet) Step(string, ...any) {}

// Watch repeats state to the progress while a long piece of work goes on, so that nothing is silent for more than
// ten seconds. The returned function ends that and returns when nothing more will be said.
func Watch(p Progress, state func(elapsed time.Duration) string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		tick := time.NewTicker(Heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.Step("%s", state(time.Since(start).Round(time.Second)))
			}
		}
	}()
	return func() { cancel(); <-done }
}
