package server

import (
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// notCheckpointable is the API's own text; clients wait and ask again on it.
const notCheckpointable = "Failed to find checkpointable resource"

const reasonMaintenance = "maintenance"

func (s *Server) checkpointPod(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		propagator.CheckpointPodRequest
		Overrides json.RawMessage `json:"overrides"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	req := body.CheckpointPodRequest
	if err := checkCheckpointRequest(&req); err != nil {
		return err
	}
	overrides, err := checkpointOverrides(body.Overrides)
	if err != nil {
		return err
	}
	a := store.Action{
		ID: uuid.NewString(), Type: propagator.ActionCheckpointPod, Status: propagator.StatusInitialized,
		Reason: req.Reason, Created: s.now(), Key: r.Header.Get(propagator.HeaderIdempotencyKey), Kind: req.Kind, RuncRoot: req.RuncRoot, Overrides: overrides,
	}
	err = s.begin(&a, func(tx *store.Tx) (json.RawMessage, error) {
		pod, err := findPod(tx, req)
		if err != nil {
			return nil, err
		}
		a.ClusterID, a.PodUID, a.PodName, a.Namespace, a.NodeName = pod.ClusterID, pod.UID, pod.Name, pod.Namespace, pod.NodeName
		if a.WorkloadKind, a.CheckpointName, err = describePod(pod.Object); err != nil {
			return nil, err
		}
		row := newRow(uuid.NewString(), a.Created)
		row.ActionID, row.ClusterID, a.CheckpointID = a.ID, a.ClusterID, row.ID
		return pod.Object, tx.Checkpoints.Put(row.ID, row)
	})
	if err != nil {
		return err
	}
	return writeText(w, a.ID)
}

// checkCheckpointRequest refuses what is malformed and fills in what may be left out.
func checkCheckpointRequest(req *propagator.CheckpointPodRequest) error {
	if req.Kind == "" {
		req.Kind = propagator.KindSimple
	}
	if err := checkKind(req.Kind); err != nil {
		return err
	}
	if req.RuncRoot != "" && !path.IsAbs(req.RuncRoot) {
		return badRequest("Invalid runc_root %.200q: want an absolute path, such as /run/containerd/runc/k8s.io, or none for the node's own", req.RuncRoot)
	}
	switch req.Reason {
	case "":
		req.Reason = propagator.ReasonManual
	case propagator.ReasonManual, propagator.ReasonHeartbeat, reasonMaintenance:
	default:
		return badRequest("Invalid reason %.64q: want manual, heartbeat or maintenance", req.Reason)
	}
	if req.PodID == "" && (req.PodName == "" || req.Namespace == "") {
		return badRequest("pod_id, or pod_name and namespace, is required")
	}
	// Not every pod's UID is a UUID: those of static pods are hashes.
	if len(req.PodID) > 253 || strings.ContainsFunc(req.PodID, func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		return !letter && (c < '0' || c > '9') && c != '-' && c != '.'
	}) {
		return badRequest("Invalid pod_id %.64q: want the pod's metadata.uid", req.PodID)
	}
	if req.ClusterID != "" {
		id, err := parseID(req.ClusterID, "cluster_id")
		if err != nil {
			return err
		}
		req.ClusterID = id
	}
	return nil
}

// findPod is the one running pod that a request means, by its UID or by its name and namespace.
func findPod(tx *store.Tx, req propagator.CheckpointPodRequest) (store.Pod, error) {
	prefix := ""
	if req.ClusterID != "" {
		prefix = store.PodKey(req.ClusterID, "")
	}
	pods, err := tx.Pods.Where(prefix, func(p store.Pod) bool {
		return (req.PodID == "" || p.UID == req.PodID) && (req.PodName == "" || p.Name == req.PodName) &&
			(req.Namespace == "" || p.Namespace == req.Namespace)
	})
	if err != nil {
		return store.Pod{}, err
	}
	what := "pod " + req.PodID
	if req.PodID == "" {
		what = "pod " + req.Namespace + "/" + req.PodName
	}
	if len(pods) == 0 {
		return store.Pod{}, notFound("%s: %s has not been reported by any cluster's manager", notCheckpointable, what)
	}
	running := slices.DeleteFunc(slices.Clone(pods), func(p store.Pod) bool { return p.Phase != "Running" || p.NodeName == "" })
	if len(running) == 0 {
		return store.Pod{}, notFound("%s: %s is in phase %q on node %q, not running", notCheckpointable, what, pods[0].Phase, pods[0].NodeName)
	}
	// A pod that is created again under its name is known beside its predecessor for a moment.
	return slices.MaxFunc(running, func(a, b store.Pod) int { return createdPod(a).Compare(createdPod(b)) }), nil
}

// createdPod is when a pod was created; zero when its object does not say.
func createdPod(p store.Pod) time.Time {
	var object struct {
		Metadata struct {
			CreationTimestamp time.Time `json:"creationTimestamp"`
		} `json:"metadata"`
	}
	if json.Unmarshal(p.Object, &object) != nil {
		return time.Time{}
	}
	return object.Metadata.CreationTimestamp
}

// status answers at once for an action that has ended. Any other is given a moment to end, so that who polls hears of
// it then and not at the next poll.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "action_id")
	if err != nil {
		return err
	}
	ended, forget := s.endings.of(id)
	defer forget()
	a, err := s.action(id)
	if err != nil {
		return err
	}
	if !a.HasEnded() {
		hold := time.NewTimer(s.cfg.StatusHold)
		defer hold.Stop()
		select {
		case <-ended:
		case <-hold.C:
		case <-s.life.Done():
		case <-r.Context().Done():
		}
		if a, err = s.action(id); err != nil {
			return err
		}
	}
	return writeJSON(w, propagator.Status{Status: a.Status, Details: a.Error})
}

func (s *Server) action(id string) (store.Action, error) {
	var a store.Action
	err := s.store.View(func(tx *store.Tx) error {
		var ok bool
		var err error
		if a, ok, err = tx.Actions.Get(id); err == nil && !ok {
			err = notFound("Action ID not found: %s", id)
		}
		return err
	})
	return a, err
}
