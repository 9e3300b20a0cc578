package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// Propagator is Cedana's API as a Checkpointer.
type Propagator struct {
	*propagator.Client
	// Transport is what requests go through that are sent without the client.
	Transport http.RoundTripper
	URL       string
	Token     settings.Secret

	clusterID, runcRoot string
	local               bool
}

// NewPropagator is the propagator of the fixture's environment, asked with a token.
func NewPropagator(f *fixture.Fixture, token settings.Secret, opts ...propagator.Option) *Propagator {
	f.Helper()
	return newPropagator(f, token, f.Requests, opts...)
}

func newPropagator(f *fixture.Fixture, token settings.Secret, through http.RoundTripper, opts ...propagator.Option) *Propagator {
	f.Helper()
	// Polled often, because how long things take is measured with it.
	opts = append([]propagator.Option{
		propagator.WithTransport(through), propagator.WithPolling(20*time.Millisecond, 250*time.Millisecond),
	}, opts...)
	client, err := propagator.New(f.Env.URL, token, opts...)
	f.Must(err, "make client for the propagator at %s", f.Env.URL)
	f.Cleanup(client.Close)
	return &Propagator{
		Client: client, Transport: through, URL: f.Env.URL, Token: token,
		clusterID: f.Env.ClusterID, runcRoot: f.Env.RuncRoot, local: f.Env.Backend == settings.BackendLocal,
	}
}

// Can implements Checkpointer. What a live propagator does beyond its published API is not documented.
func (p *Propagator) Can() Capabilities {
	return Capabilities{
		PerContainer: p.local, Details: p.local, RestoreDetails: p.local, ReadyPod: p.local, NoOwner: p.local, RuntimeRoot: p.local,
		ColdStartEvent: p.local, Orphans: p.local,
	}
}

// Checkpoint implements Checkpointer.
func (p *Propagator) Checkpoint(ctx context.Context, pod *corev1.Pod, o CheckpointOptions) (Operation, error) {
	if o.RuntimeRoot == "" {
		o.RuntimeRoot = p.runcRoot
	}
	uid := string(pod.UID)
	if o.ByName {
		uid = ""
	}
	request := propagator.CheckpointPodRequest{
		PodID: uid, PodName: pod.Name, Namespace: pod.Namespace, ClusterID: p.clusterID,
		Kind: propagator.KindSimple, Reason: propagator.ReasonManual, RuncRoot: o.RuntimeRoot,
	}
	if o.Compression != "" {
		request.Overrides = &propagator.CheckpointOverrides{Compression: o.Compression}
	}
	action, err := p.CheckpointPod(ctx, request)
	return NewOperation(action), err
}

// Restore implements Checkpointer.
func (p *Propagator) Restore(ctx context.Context, from Operation, _ *corev1.Pod) (Operation, error) {
	action, err := p.RestorePod(ctx, propagator.RestorePodRequest{
		ActionID: from.name, ClusterID: p.clusterID, Reason: propagator.ReasonManual,
	})
	return NewOperation(action), err
}

// Wait implements Checkpointer.
func (p *Propagator) Wait(ctx context.Context, o Operation) error {
	_, err := p.Client.Wait(ctx, o.name)
	var failed *propagator.ActionError
	if errors.As(err, &failed) {
		return &FailedError{Operation: o, Details: failed.Details, err: err}
	}
	return err
}

// Status implements Checkpointer.
func (p *Propagator) Status(ctx context.Context, o Operation) (Status, error) {
	now, err := p.Client.Status(ctx, o.name)
	return status(propagator.Action{ActionID: o.name, Status: string(now.Status)}), err
}

// Operations implements Checkpointer.
func (p *Propagator) Operations(ctx context.Context) ([]Status, error) {
	rows, err := p.Actions(ctx, propagator.ActionFilter{})
	list := make([]Status, 0, len(rows))
	for _, row := range rows {
		list = append(list, status(row))
	}
	return list, err
}

func status(row propagator.Action) Status {
	s := Status{
		Operation: NewOperation(row.ActionID), Restore: row.Type == propagator.ActionRestorePod, Kind: Kind(row.Type),
		Word: row.Status, Details: string(row.Details), Node: row.NodeName,
		Took: time.Duration(row.TotalDuration), IO: row.TotalIO,
	}
	switch row.Status {
	case "ready", "success", "completed":
		s.Phase = Succeeded
	case "error", "failed":
		s.Phase = Failed
	}
	if row.CheckpointID != "" {
		s.Checkpoints = []string{row.CheckpointID}
	}
	var details struct {
		RestoredPod string `json:"restored_pod"`
	}
	if json.Unmarshal(row.Details, &details) == nil { // free-form: the name may not be there
		s.Pod = details.RestoredPod
	}
	return s
}

// Checkpoints implements Checkpointer: those that the operation names and those that name it.
func (p *Propagator) Checkpoints(ctx context.Context, o Operation) ([]Record, error) {
	actions, err := p.Actions(ctx, propagator.ActionFilter{Type: propagator.ActionCheckpointPod})
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, a := range actions {
		if a.ActionID == o.name && a.CheckpointID != "" {
			named[a.CheckpointID] = true
		}
	}
	all, err := p.Client.Checkpoints(ctx, propagator.CheckpointFilter{ClusterID: p.clusterID})
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, c := range all {
		if i := info(c); named[c.ID] || i.ActionID == o.name {
			records = append(records, record(c, i))
		}
	}
	return records, nil
}

func record(c propagator.Checkpoint, i propagator.CheckpointInfo) Record {
	r := Record{
		ID: c.ID, Ready: c.Status == propagator.CheckpointReady, Deprecated: c.Status == propagator.CheckpointDeprecated,
		Word: string(c.Status), Pod: i.PodName, Node: i.NodeName, Size: i.Size, Freeze: time.Duration(i.Freeze), CRIU: i.CRIU,
		Profile: map[string]time.Duration{},
	}
	for name, took := range i.Profiling {
		r.Profile[name] = time.Duration(took)
	}
	return r
}

// info is as much of a checkpoint's free-form info as is understood.
func info(c propagator.Checkpoint) propagator.CheckpointInfo {
	var i propagator.CheckpointInfo
	if json.Unmarshal(c.Info, &i) != nil {
		return propagator.CheckpointInfo{}
	}
	return i
}

// Deprecate implements Checkpointer.
func (p *Propagator) Deprecate(ctx context.Context, r Record) error {
	return p.Client.Deprecate(ctx, r.ID)
}

// Declare implements Checkpointer.
func (p *Propagator) Declare(name string) pods.Option { return pods.Declared(name) }

// Orphans implements Checkpointer. Archives go some time after their checkpoints, so those of an action are none.
func (p *Propagator) Orphans(ctx context.Context) ([]string, error) {
	code, body, err := p.Raw(ctx, p.Token, http.MethodGet, "/v2/files/dir/checkpoints", nil)
	if err != nil {
		return nil, fmt.Errorf("list archives: %w", err)
	}
	var paths []string
	if err := json.Unmarshal(body, &paths); err != nil {
		return nil, fmt.Errorf("list archives: read %d %s: %w", code, fixture.Short(string(body)), err)
	}
	actions, err := p.Actions(ctx, propagator.ActionFilter{})
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	return slices.DeleteFunc(paths, func(path string) bool {
		return slices.ContainsFunc(actions, func(a propagator.Action) bool { return strings.Contains(path, a.ActionID) })
	}), nil
}

// Raw sends a request without the client's help: no retries, no filters of its own, and any body. A body that is no
// string is sent as JSON. The path begins with the version of the API.
func (p *Propagator) Raw(ctx context.Context, token settings.Secret, method, path string, body any) (code int, answer []byte, err error) {
	text, ok := body.(string)
	if !ok && body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, nil, fmt.Errorf("encode body: %w", err)
		}
		text = string(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, p.URL+path, strings.NewReader(text))
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	if text != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token.Set() {
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	client := http.Client{Transport: p.Transport, Timeout: stretch.Limit(propagator.DefaultRequestTimeout)}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, 16<<20))
	return response.StatusCode, answer, err
}

// keep writes what the propagator says of some operations to the artifacts.
func (p *Propagator) keep(ctx context.Context, f *fixture.Fixture, operations []Operation, checkpoints []string) error {
	rows, err := p.Actions(ctx, propagator.ActionFilter{})
	own := slices.DeleteFunc(rows, func(row propagator.Action) bool { return !slices.Contains(operations, NewOperation(row.ActionID)) })
	errs := []error{err, f.Files.WriteJSON("actions.json", own)}
	if len(checkpoints) > 0 {
		list, err := p.Client.Checkpoints(ctx, propagator.CheckpointFilter{IDs: checkpoints})
		errs = append(errs, err, f.Files.WriteJSON("checkpoints.json", list))
	}
	return errors.Join(errs...)
}
