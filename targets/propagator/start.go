package propagator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const (
	// startTries limits how often a request that is proven not to have acted is sent again.
	startTries = 3
	// clockSlack covers the whole seconds of the Date header.
	clockSlack = 2 * time.Second
)

// looks are the waits before each look for an action whose id was lost: the server may still be writing it.
var looks = []time.Duration{0, 300 * time.Millisecond, 700 * time.Millisecond}

// start sends a request that makes an action of a target. When its answer is lost and the server keeps idempotency keys, it
// is sent again. Elsewhere find looks for the action on the server: found, its id is the answer; not there, the request did
// not act and is sent again, unless it may still be under way.
func (c *Client) start(ctx context.Context, target string, k call, find func(context.Context, time.Time) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.totalTimeout)
	defer cancel()
	release, err := c.alone(ctx, target)
	if err != nil {
		return "", err
	}
	defer release()
	k.key = uuid.NewString()
	for try := 1; ; try++ {
		sent := time.Now()
		ans, err := c.do(ctx, k)
		if err == nil {
			id, err := c.text(k, ans, decodeID)
			if err != nil {
				return "", err
			}
			c.started.Store(id, true)
			return id, nil
		}
		var unknown *UnknownOutcomeError
		if !errors.As(err, &unknown) {
			return "", err
		}
		if c.keepsKeys.Load() && try < startTries {
			c.log.Warn("sending again with the same idempotency key", "request", k.method+" "+k.path, "after", unknown.Err)
			continue
		}
		id, findErr := c.look(ctx, sent, find)
		switch {
		case findErr != nil:
			return "", fmt.Errorf("%w; looking for its action: %w", err, findErr)
		case id != "":
			c.log.Warn("found the action of a request whose answer was lost", "request", k.method+" "+k.path, "action", id)
			c.started.Store(id, true)
			return id, nil
		case unknown.TimedOut || try == startTries:
			return "", err
		}
		c.log.Warn("sending again: the server has no action of it", "request", k.method+" "+k.path, "after", unknown.Err)
	}
}

func (c *Client) look(ctx context.Context, sent time.Time, find func(context.Context, time.Time) (string, error)) (string, error) {
	for _, wait := range looks {
		if err := sleep(ctx, wait); err != nil {
			return "", err
		}
		since, err := c.serverTime(ctx, sent)
		if err != nil {
			return "", err
		}
		if id, err := find(ctx, since.Add(-clockSlack)); id != "" || err != nil {
			return id, err
		}
	}
	return "", nil
}

// serverTime turns a time on our clock into one on the server's, as far as its Date header tells.
func (c *Client) serverTime(ctx context.Context, ours time.Time) (time.Time, error) {
	ans, err := c.do(ctx, userCall)
	if err != nil {
		return time.Time{}, err
	}
	if ans.serverTime.IsZero() {
		return ours, nil
	}
	return ours.Add(time.Until(ans.serverTime)), nil
}

// lostCheckpoint is the pod's latest action if it is newer than since and not one that we know; "" when there is none.
func (c *Client) lostCheckpoint(ctx context.Context, podUID string, since time.Time) (string, error) {
	id, err := c.ActionFromPod(ctx, podUID)
	if IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	action, err := c.Action(ctx, id)
	if err != nil {
		return "", err
	}
	fresh, err := c.isLost(action, since)
	if err != nil || !fresh {
		return "", err
	}
	return id, nil
}

// lostAction is the one action that matches, is newer than since, and is not one that we know; "" when there is none.
func (c *Client) lostAction(ctx context.Context, since time.Time, match func(Action, actionDetails) bool) (string, error) {
	rows, err := c.Actions(ctx, ActionFilter{})
	if err != nil {
		return "", err
	}
	found := ""
	for _, row := range rows {
		if !match(row, row.details()) {
			continue
		}
		lost, err := c.isLost(row, since)
		switch {
		case err != nil:
			return "", err
		case lost && found != "":
			return "", fmt.Errorf("actions %s and %s both look like it", found, row.ActionID)
		case lost:
			found = row.ActionID
		}
	}
	return found, nil
}

func (c *Client) isLost(a Action, since time.Time) (bool, error) {
	if _, ours := c.started.Load(a.ActionID); ours {
		return false, nil
	}
	if a.ActionTimestamp == nil {
		return false, fmt.Errorf("action %s has no timestamp, so it cannot be told from an older one", a.ActionID)
	}
	return !a.ActionTimestamp.Before(since), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
