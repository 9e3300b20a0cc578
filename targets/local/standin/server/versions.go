package server

import (
	"net/http"
	"strings"

	"github.com/cedana/cedana-e2e/targets/propagator"
)

// The API is published in two versions, which have the same routes: the older one under /v2, the newer one under /v1.
// A client that is generated from either finds the fields of its own and no others.

// newer reports whether a request is for the newer version.
func newer(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/") }

// version is the name of a request's version.
func version(r *http.Request) string {
	if newer(r) {
		return "newer"
	}
	return "older"
}

// olderAction leaves out what only the newer version has.
func olderAction(a *propagator.Action) {
	a.CheckpointName, a.Delta, a.ParentCheckpointID, a.WorkloadKind = "", nil, "", ""
}

// olderCheckpoint leaves out what only the newer version has.
func olderCheckpoint(c *propagator.Checkpoint) { c.Delta, c.ParentCheckpointID = nil, "" }

// olderCluster leaves out what only the newer version has.
func olderCluster(c *propagator.Cluster) { c.Kind = "" }

// writeSynced answers a report of a cluster's resource, which the versions declare differently: a message, or text.
func writeSynced(w http.ResponseWriter, r *http.Request, id string) error {
	if newer(r) {
		return writeText(w, id)
	}
	return writeJSON(w, propagator.ErrorBody{Message: "resource " + id + " is registered"})
}
