// Package worker is the client side of package work: what manager, helper and runtime wrapper ask of the local
// propagator beside its public API.
package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	prefix = "/internal/v1"
	// pollWait is how long the propagator is asked to hold a poll open when there is nothing to do.
	pollWait = 20 * time.Second
	// requestTimeout ends a small request that gets no answer.
	requestTimeout = 15 * time.Second
)

// ErrLost means that the propagator no longer waits for a result: the action has ended without this worker.
var ErrLost = errors.New("the propagator has given up on this work")

// Client speaks to one propagator as one worker.
type Client struct {
	base string
	http *http.Client

	Role      work.Role
	ClusterID string
	Node      string
}

// New takes the propagator's address in any spelling of CEDANA_URL, and a transport to send through; nil means the one of
// the propagator's client.
func New(rawURL string, token settings.Secret, role work.Role, clusterID, node string, through http.RoundTripper) (*Client, error) {
	base, err := settings.NormalizeURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("read CEDANA_URL: %w", err)
	}
	return &Client{base: base, http: propagator.HTTPClient(base, token, through), Role: role, ClusterID: clusterID, Node: node}, nil
}

// Poll waits up to wait for a unit of work; nil, nil means that there was none.
func (c *Client) Poll(ctx context.Context, wait time.Duration) (*work.Work, error) {
	query := url.Values{
		"role": {string(c.Role)}, "cluster_id": {c.ClusterID}, "node": {c.Node}, "wait": {wait.String()},
	}
	ctx, cancel := context.WithTimeout(ctx, wait+stretch.Limit(requestTimeout))
	defer cancel()
	var w work.Work
	status, err := c.do(ctx, http.MethodGet, prefix+"/work?"+query.Encode(), nil, &w)
	if err != nil || status == http.StatusNoContent {
		return nil, err
	}
	return &w, nil
}

// Result ends a unit of work.
func (c *Client) Result(ctx context.Context, id string, r work.Result) error {
	return c.small(ctx, http.MethodPost, prefix+"/work/"+url.PathEscape(id)+"/result", r, nil)
}

// Renew keeps the lease of a unit of work.
func (c *Client) Renew(ctx context.Context, id string) error {
	return c.small(ctx, http.MethodPost, prefix+"/work/"+url.PathEscape(id)+"/renew", nil, nil)
}

// Dumped tells that the pod of a checkpoint action is dumped and runs on, while its archives are still on their way.
func (c *Client) Dumped(ctx context.Context, actionID string) error {
	return c.small(ctx, http.MethodPost, "/v1/actions/upload", propagator.CheckpointStatusWithPodSpec{
		ActionID: actionID, Status: string(propagator.StatusCheckpointCreated),
	}, nil)
}

// Manifest lists the archives of a finished checkpoint, for a pod of a namespace.
func (c *Client) Manifest(ctx context.Context, actionID, namespace string) (work.Manifest, error) {
	var m work.Manifest
	query := url.Values{"namespace": {namespace}}
	err := c.small(ctx, http.MethodGet, prefix+"/checkpoints/"+url.PathEscape(actionID)+"/manifest?"+query.Encode(), nil, &m)
	return m, err
}

// Choose asks what a container is to be restored from that declares a checkpoint's name. The cluster is this worker's.
func (c *Client) Choose(ctx context.Context, declared work.Declared) (work.Choice, error) {
	var choice work.Choice
	declared.ClusterID = c.ClusterID
	err := c.small(ctx, http.MethodPost, prefix+"/restores/declared", declared, &choice)
	return choice, err
}

// PodName names a pod of the cluster.
type PodName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// KnownPods lists the pods that the propagator believes to be in this worker's cluster.
func (c *Client) KnownPods(ctx context.Context) ([]PodName, error) {
	var names []PodName
	err := c.small(ctx, http.MethodGet, "/v1/cluster/"+url.PathEscape(c.ClusterID)+"/pods", nil, &names)
	return names, err
}

// Stored is a blob as the propagator has it: its sum is reckoned there, once, while it is written.
type Stored struct {
	Size int64
	// SHA256 is hex.
	SHA256 string
}

// Put stores as a blob what open reads: size bytes, -1 for as many as there are. After a failed attempt it is opened again.
// That all of it has arrived is seen by its size, or by the end of a body in chunks.
func (c *Client) Put(ctx context.Context, path string, size int64, open func() io.ReadCloser) (stored Stored, err error) {
	err = Retry(ctx, "upload of "+path, func() (err error) {
		stored, err = c.putOnce(ctx, path, size, open())
		return err
	})
	return stored, err
}

func (c *Client) putOnce(ctx context.Context, path string, size int64, content io.ReadCloser) (Stored, error) {
	request, err := c.request(ctx, http.MethodPut, prefix+"/blobs/"+escapePath(path), content)
	if err != nil {
		return Stored{}, errors.Join(err, content.Close())
	}
	request.ContentLength = size
	var stored Stored
	_, header, err := c.send(request, &stored.Size)
	if err != nil {
		return Stored{}, err
	}
	stored.SHA256 = header.Get(work.HeaderSHA256)
	if stored.SHA256 == "" || size >= 0 && size != stored.Size {
		return Stored{}, fmt.Errorf("upload %d bytes of %s: the propagator has %d, of sha256 %q", size, path, stored.Size, stored.SHA256)
	}
	return stored, nil
}

// Get opens a blob.
func (c *Client) Get(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := c.request(ctx, http.MethodGet, prefix+"/blobs/"+escapePath(path), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if err := failure(request, response); err != nil {
		response.Body.Close()
		return nil, err
	}
	return response.Body, nil
}

func (c *Client) small(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(requestTimeout))
	defer cancel()
	_, err := c.do(ctx, method, path, body, answer)
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body, answer any) (int, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, fmt.Errorf("encode body of %s: %w", path, err)
		}
		content = bytes.NewReader(data)
	}
	request, err := c.request(ctx, method, path, content)
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	code, _, err := c.send(request, answer)
	return code, err
}

func (c *Client) request(ctx context.Context, method, path string, content io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	return request, nil
}

// send decodes the body into answer, which may be nil.
func (c *Client) send(request *http.Request, answer any) (code int, header http.Header, err error) {
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if err := failure(request, response); err != nil {
		return 0, nil, err
	}
	if answer != nil && response.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
			return 0, nil, fmt.Errorf("read answer of %s %s: %w", request.Method, request.URL.Path, err)
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	return response.StatusCode, response.Header, nil
}

// failure turns an answer that is no success into an error with the propagator's own message.
func failure(request *http.Request, response *http.Response) error {
	if response.StatusCode/100 == 2 {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	err := fmt.Errorf("%s %s: %s: %s", request.Method, request.URL.Path, response.Status, propagator.ErrorMessage(body))
	if response.StatusCode == http.StatusNotFound && strings.HasPrefix(request.URL.Path, prefix+"/work/") {
		return fmt.Errorf("%w (%w)", ErrLost, err)
	}
	if response.StatusCode/100 == 4 {
		return refusal{err}
	}
	return err
}

// refusal is an error that reads as it did without.
type refusal struct{ error }

func (refusal) Is(target error) bool { return target == ErrRefused }
func (r refusal) Unwrap() error      { return r.error }

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// Outcome is a result and, where there is something to undo, how to undo it when nobody wants the result any more.
type Outcome struct {
	work.Result
	Undo func(context.Context)
}

// Failed is the outcome of work that could not be done.
func Failed(err error) Outcome { return Outcome{Result: work.Result{Error: err.Error()}} }

// Serve polls until ctx ends and does each unit of work in its own goroutine with do, keeping its lease; it returns when
// the last one is done. polled is called after each poll with its error, nil for success.
func (c *Client) Serve(ctx context.Context, polled func(error), do func(context.Context, *work.Work) Outcome) {
	const shortestPause, longestPause = 50 * time.Millisecond, 2 * time.Second
	var running sync.WaitGroup
	defer running.Wait()
	pause := shortestPause
	wait := time.Duration(0) // the first poll answers at once, so that it is soon known whether polling works
	for ctx.Err() == nil {
		w, err := c.Poll(ctx, wait)
		if ctx.Err() != nil && w == nil {
			return
		}
		polled(err)
		if err != nil {
			slog.Warn("polling for work failed", "propagator", c.base, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			wait, pause = 0, min(2*pause, longestPause)
			continue
		}
		wait, pause = pollWait, shortestPause
		if w != nil {
			running.Go(func() { c.one(ctx, w, do) })
		}
	}
}

func (c *Client) one(ctx context.Context, w *work.Work, do func(context.Context, *work.Work) Outcome) {
	log := slog.With("work", w.ID, "kind", w.Kind, "action", w.ActionID)
	log.Info("work taken")
	started := time.Now()
	workCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go c.keepLease(workCtx, w.ID, cancel)
	outcome := do(workCtx, w)
	outcome.TotalDuration = time.Since(started).Nanoseconds()
	// Also when the worker is being stopped: the result is known, and nobody else will send it.
	reportCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(requestTimeout))
	defer stop()
	err := c.report(reportCtx, w.ID, outcome.Result)
	if err == nil {
		log.Info("work done", "error", outcome.Error, "took", time.Since(started).Round(time.Millisecond))
		return
	}
	log.Error("reporting the result failed", "error", err, "result_error", outcome.Error)
	if errors.Is(err, ErrLost) && outcome.Undo != nil {
		outcome.Undo(reportCtx)
	}
}

// report tries again while the propagator is away: it may be starting again.
func (c *Client) report(ctx context.Context, id string, r work.Result) error {
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		err := c.Result(ctx, id, r)
		if err == nil || errors.Is(err, ErrLost) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (c *Client) keepLease(ctx context.Context, id string, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(work.LeaseDuration / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := c.Renew(ctx, id); errors.Is(err, ErrLost) {
				cancel(err)
				return
			} else if err != nil && ctx.Err() == nil {
				slog.Warn("renewing the lease failed", "work", id, "error", err)
			}
		}
	}
}
