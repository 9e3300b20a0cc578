package propagator

import (
	"context"
	"fmt"
)

const (
	// HeaderIdempotencyKey has a key of the caller's choice with a request that starts an action: the same key means the
	// same action.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderKeepsKeys is "true" in every answer of a server that remembers the keys. The local propagator does.
	HeaderKeepsKeys = "X-Keeps-Idempotency-Keys"
)

// alone waits until no other call of this client starts an action of the same target. Where a server keeps no keys, an
// action whose answer was lost is looked for by its target, and that of another call must not be taken for it.
func (c *Client) alone(ctx context.Context, target string) (release func(), err error) {
	held, _ := c.starting.LoadOrStore(target, make(chan struct{}, 1))
	turn := held.(chan struct{})
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another call to start its %s: %w", target, context.Cause(ctx))
	}
}
