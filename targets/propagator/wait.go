package propagator

import (
	"context"
	"fmt"
	"time"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// notFoundWait is how long Wait believes that an id which nobody knows is merely new.
const notFoundWait = 10 * time.Second

// Wait polls an action until it ends, from every 100 ms slowing down to every 2 s. It returns the last state seen with
// every error: an *ActionError when the action ended in error; ctx's error, naming that state, when ctx ended first.
func (c *Client) Wait(ctx context.Context, actionID string) (Status, error) {
	last := Status{}
	begin, interval := time.Now(), c.pollFirst
	for {
		s, err := c.Status(ctx, actionID)
		switch {
		case ctx.Err() != nil:
			return last, c.waitError(ctx, actionID, last, begin)
		case IsNotFound(err) && time.Since(begin) < stretch.Limit(notFoundWait):
			last = s
		case err != nil:
			return last, fmt.Errorf("wait for action %s, last %s: %w", actionID, last.Status.seen(), err)
		default:
			last = s
		}
		switch last.Status {
		case StatusReady:
			return last, nil
		case StatusError:
			return last, &ActionError{ActionID: actionID, Details: last.Details}
		}
		if sleep(ctx, interval) != nil {
			return last, c.waitError(ctx, actionID, last, begin)
		}
		interval = min(interval*5/4, c.pollSlowest)
	}
}

func (c *Client) waitError(ctx context.Context, actionID string, last Status, begin time.Time) error {
	return fmt.Errorf("wait for action %s at %s: %w after %s, last %s%s", actionID, c.base, context.Cause(ctx),
		time.Since(begin).Round(100*time.Millisecond), last.Status.seen(), parenthesised(last.Details))
}

func (s OperationStatus) seen() string {
	if s == "" {
		return "state never seen"
	}
	return "state " + string(s)
}

func parenthesised(details string) string {
	if details == "" {
		return ""
	}
	return " (" + details + ")"
}
