package helper

import (
	"context"
	"sync"
)

// ids are checkpoint ids that are being fetched.
type ids struct {
	cancel context.CancelFunc
	each   []func() (string, error)
}

// newIDs starts fetching n checkpoint ids.
func (h *Helper) newIDs(ctx context.Context, n int) *ids {
	ctx, cancel := context.WithCancel(ctx)
	out := &ids{cancel: cancel}
	for range n {
		get := sync.OnceValues(func() (string, error) { return h.propagator.NewCheckpoint(ctx) })
		out.each = append(out.each, get)
		go func() { _, _ = get() }() // the result is kept for whoever asks
	}
	return out
}

func (i *ids) get(n int) (string, error) { return i.each[n]() }

// forget gives up on ids that nobody will use.
func (i *ids) forget() { i.cancel() }
