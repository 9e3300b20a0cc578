package server

import "sync"

// endings tells those who hold a request for an action's end.
type endings struct {
	mu      sync.Mutex
	waiting map[string][]chan struct{}
}

// of is closed when the action ends; forget must be called.
func (e *endings) of(action string) (ended <-chan struct{}, forget func()) {
	mine := make(chan struct{})
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting == nil {
		e.waiting = map[string][]chan struct{}{}
	}
	e.waiting[action] = append(e.waiting[action], mine)
	return mine, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		line := e.waiting[action]
		for i, other := range line {
			if other == mine {
				line = append(line[:i:i], line[i+1:]...)
				break
			}
		}
		if len(line) == 0 {
			delete(e.waiting, action)
			return
		}
		e.waiting[action] = line
	}
}

func (e *endings) tell(action string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, waiting := range e.waiting[action] {
		close(waiting)
	}
	delete(e.waiting, action)
}
