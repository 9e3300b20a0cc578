package helper

import (
	"context"
	"sync"
)

// podLocks lets one checkpoint at a time near a pod, while several pods go side by side.
type podLocks struct {
	mutex sync.Mutex
	held  map[string]chan struct{}
}

// lock waits until the pod is free or ctx ends.
func (l *podLocks) lock(ctx context.Context, uid string) (unlock func(), err error) {
	for {
		l.mutex.Lock()
		if l.held == nil {
			l.held = map[string]chan struct{}{}
		}
		other, taken := l.held[uid]
		if !taken {
			mine := make(chan struct{})
			l.held[uid] = mine
			l.mutex.Unlock()
			return func() {
				l.mutex.Lock()
				delete(l.held, uid)
				l.mutex.Unlock()
				close(mine)
			}, nil
		}
		l.mutex.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-other:
		}
	}
}
