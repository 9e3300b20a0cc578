package propagator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// CheckpointPod starts a checkpoint and returns its action's id. A pod that the propagator has not heard of yet (404)
// is asked for again until the sync wait is over. An answer that is lost is looked for in the server's actions, so
// that no second checkpoint is started while the first may run; an *UnknownOutcomeError says that this was in vain.
func (c *Client) CheckpointPod(ctx context.Context, req CheckpointPodRequest) (string, error) {
	syncEnd := time.Now().Add(c.syncWait)
	k := call{
		method: http.MethodPost, path: "/checkpoint/pod", body: req, accept: asText,
		retry: func(e *APIError) bool {
			return e.StatusCode == http.StatusNotFound && !e.HTML && time.Now().Before(syncEnd)
		},
	}
	return c.start(ctx, "checkpoint of pod "+cmp.Or(req.PodID, req.Namespace+"/"+req.PodName), k, func(ctx context.Context, since time.Time) (string, error) {
		if req.PodID != "" {
			return c.lostCheckpoint(ctx, req.PodID, since)
		}
		return c.lostAction(ctx, since, func(a Action, d actionDetails) bool {
			return a.Type == ActionCheckpointPod && d.PodName == req.PodName && d.Namespace == req.Namespace
		})
	})
}

// RestorePod starts a restore and returns the restore action's id. A lost answer is treated as in CheckpointPod.
func (c *Client) RestorePod(ctx context.Context, req RestorePodRequest) (string, error) {
	if req.Reason == "" {
		req.Reason = ReasonManual // required by the schema
	}
	k := call{method: http.MethodPost, path: "/restore/pod", body: req, accept: asText}
	return c.start(ctx, "restore of action "+req.ActionID, k, func(ctx context.Context, since time.Time) (string, error) {
		source, err := c.Action(ctx, req.ActionID)
		if err != nil {
			return "", err
		}
		return c.lostAction(ctx, since, func(a Action, d actionDetails) bool {
			if a.Type != ActionRestorePod {
				return false
			}
			if d.SourceActionID != "" {
				return d.SourceActionID == req.ActionID
			}
			return a.CheckpointID != "" && a.CheckpointID == source.CheckpointID
		})
	})
}

// Status is the state of an action. Where the status endpoint does not know the id, the list of actions is asked, and
// its words are brought to the same terms. An id that nobody knows gives StatusNotFound and an error that IsNotFound.
func (c *Client) Status(ctx context.Context, actionID string) (Status, error) {
	k := call{
		method: http.MethodGet, path: "/checkpoint/status/" + url.PathEscape(actionID), accept: asJSON, repeatable: true,
	}
	ans, err := c.do(ctx, k)
	if IsNotFound(err) {
		action, listErr := c.actionFromList(ctx, actionID, err)
		if IsNotFound(listErr) {
			return Status{Status: StatusNotFound}, listErr
		}
		if listErr != nil {
			return Status{}, listErr
		}
		return action.status(), nil
	}
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := c.json(k, ans, &s); err != nil {
		return Status{}, err
	}
	if s.Status == "" {
		return Status{}, fmt.Errorf("%s %s: answer %s has no status", k.method, k.path, c.scrub(excerpt(ans.body)))
	}
	s.Details = c.scrub(s.Details)
	return s, nil
}

// ActionFilter narrows Actions. Empty fields do not.
type ActionFilter struct {
	Type      ActionType
	ClusterID string
	Status    string
}

// Actions lists actions. Not every server honours every filter, so they are applied here too; rows that do not name
// their cluster stay.
func (c *Client) Actions(ctx context.Context, filter ActionFilter) ([]Action, error) {
	rows, err := callList[Action](ctx, c, filter.call())
	return slices.DeleteFunc(rows, filter.drops), err
}

// RawActions is Actions with each row as the server sent it, with the fields that Action has not.
func (c *Client) RawActions(ctx context.Context, filter ActionFilter) ([]json.RawMessage, error) {
	return callRaw(ctx, c, filter.call(), filter.drops)
}

func (f ActionFilter) call() call {
	query := url.Values{}
	for key, value := range map[string]string{"type": string(f.Type), "cluster_id": f.ClusterID, "status": f.Status} {
		if value != "" {
			query.Set(key, value)
		}
	}
	return call{method: http.MethodGet, path: "/actions", query: query, accept: asJSON, repeatable: true}
}

func (f ActionFilter) drops(row Action) bool {
	return f.Type != "" && row.Type != f.Type ||
		f.ClusterID != "" && row.ClusterID() != "" && row.ClusterID() != f.ClusterID ||
		f.Status != "" && row.Status != f.Status
}

// Action is one action, from its own endpoint where the server has that, else from the list.
func (c *Client) Action(ctx context.Context, id string) (Action, error) {
	k := call{method: http.MethodGet, path: "/actions/" + url.PathEscape(id), accept: asJSON, repeatable: true}
	ans, err := c.do(ctx, k)
	if IsNotFound(err) || hasStatus(err, http.StatusMethodNotAllowed) {
		return c.actionFromList(ctx, id, err)
	}
	if err != nil {
		return Action{}, err
	}
	var a Action
	if err := c.json(k, ans, &a); err != nil {
		return Action{}, err
	}
	return a, nil
}

// ActionFromPod is the id of the latest action of a pod, by the pod's UID.
func (c *Client) ActionFromPod(ctx context.Context, podUID string) (string, error) {
	return c.callText(ctx, call{
		method: http.MethodGet, path: "/actions/from_pod/" + url.PathEscape(podUID), accept: asText, repeatable: true,
	}, decodeID)
}

// actionFromList finds an action in the list; missing is the error when it is not there.
func (c *Client) actionFromList(ctx context.Context, id string, missing error) (Action, error) {
	rows, err := c.Actions(ctx, ActionFilter{})
	if err != nil {
		return Action{}, errors.Join(missing, err)
	}
	for _, row := range rows {
		if row.ActionID == id {
			return row, nil
		}
	}
	return Action{}, missing
}

// actionDetails is what the local server puts in Action.Details; elsewhere every field may be absent.
type actionDetails struct {
	Error          string `json:"error"`
	PodName        string `json:"pod_name"`
	Namespace      string `json:"namespace"`
	ClusterID      string `json:"cluster_id"`
	SourceActionID string `json:"source_action_id"`
}

// ClusterID is the cluster of an action; empty where the server does not say.
func (a Action) ClusterID() string {
	if a.Cluster != "" {
		return a.Cluster
	}
	return a.details().ClusterID
}

func (a Action) details() actionDetails {
	var d actionDetails
	if json.Unmarshal(a.Details, &d) != nil {
		var text string
		if json.Unmarshal(a.Details, &text) == nil {
			d.Error = text
		}
	}
	return d
}

// status brings the words of the actions list to those of the status endpoint; upstream's poller accepts the same.
func (a Action) status() Status {
	s := Status{Status: OperationStatus(a.Status), Details: a.details().Error}
	switch a.Status {
	case "success", "completed", "ready":
		s.Status = StatusReady
	case "failed", "error":
		s.Status = StatusError
	}
	return s
}
