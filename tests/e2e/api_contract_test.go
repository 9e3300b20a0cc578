//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// What is asked for here is what Cedana's published API documents, so that it holds for any propagator; what is this
// project's stand-in's alone says so.

// answer is one answer of the propagator, as it came.
type answer struct {
	code int
	body string
}

// raw sends a request without the client's help: no retries, no filters of its own, and any body. A body that is no
// string is sent as JSON.
func (s *apiCase) raw(token settings.Secret, method, path string, body any) answer {
	s.Helper()
	code, content, err := s.api.Raw(s.Ctx, token, method, s.version()+path, body)
	s.Must(err, "%s %s", method, path)
	return answer{code, strings.TrimSpace(string(content))}
}

// version of the API that the propagator has, as a path begins with it; the same surface is published as both.
func (s *apiCase) version() string {
	s.Helper()
	if s.prefix == "" {
		code, _, err := s.api.Raw(s.Ctx, s.Env.Token, http.MethodGet, "/v2/user", nil)
		s.Must(err, "ask which version of the API the propagator has")
		if s.prefix = "/v2"; code == http.StatusNotFound {
			s.prefix = "/v1"
		}
	}
	return s.prefix
}

// rows are those of a list, as the propagator gives it: the client would leave out what it does not want itself.
func (s *apiCase) rows(path string) []map[string]any {
	s.Helper()
	a := s.raw(s.Env.Token, http.MethodGet, path, nil)
	fixture.Equal(s, "the code of GET "+path, http.StatusOK, a.code)
	var rows []map[string]any
	s.Must(json.Unmarshal([]byte(a.body), &rows), "read the rows of GET %s from %s", path, fixture.Short(a.body))
	return rows
}

// lists checks whether a list has a row with an id.
func (s *apiCase) lists(path, key, id string, want bool) {
	s.Helper()
	is := slices.ContainsFunc(s.rows(path), func(row map[string]any) bool { return row[key] == id })
	what := "lists"
	if !want {
		what = "does not list"
	}
	s.That(is == want, fmt.Sprintf("GET %s %s %s", path, what, id), fmt.Sprintf("listed: %t", is))
}

// text is the one word of an answer that is an id or a name; it may be quoted.
func (s *apiCase) text(a answer, what string) string {
	s.Helper()
	fixture.Equal(s, "the code of "+what, http.StatusOK, a.code)
	return strings.Trim(a.body, `"`)
}

var idForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// Endpoints are those of the API that pods' checkpoints need, with an id that does not exist where one is wanted: what a
// request that is let in by mistake does is nothing.
func endpoints() [][2]string {
	id := uuid.NewString()
	return [][2]string{
		{"GET", "/user"},
		{"POST", "/cluster"}, {"GET", "/cluster"}, {"DELETE", "/cluster/" + id}, {"GET", "/cluster/count"}, {"POST", "/cluster/sync"},
		{"POST", "/checkpoint/pod"}, {"GET", "/checkpoint/status/" + id}, {"GET", "/checkpoint/path"},
		{"POST", "/restore/pod"},
		{"GET", "/actions"}, {"GET", "/actions/from_pod/" + id}, {"POST", "/actions/upload"},
		{"GET", "/checkpoints"}, {"POST", "/checkpoints"}, {"PATCH", "/checkpoints/deprecate/" + id},
		{"PUT", "/checkpoints/info/" + id}, {"POST", "/checkpoints/uploaded/" + id}, {"PUT", "/restores/info/" + id},
		{"GET", "/discover/rabbitmq"}, {"GET", "/files/e2e/none"}, {"PUT", "/files/e2e/none"}, {"GET", "/files/dir/e2e"},
	}
}

// Every endpoint refuses a caller without a token and one with a wrong one, and says so as it says everything.
func TestAPIAuthentication(t *testing.T) {
	s := beginAPI(t)
	for name, token := range map[string]settings.Secret{"no token": "", "a wrong token": "not-the-token", "a token that begins as the right one": s.Env.Token + "x"} {
		for _, e := range endpoints() {
			var body any
			if e[0] == http.MethodPost || e[0] == http.MethodPut {
				body = map[string]string{"cluster_name": s.Namespace}
			}
			what := fmt.Sprintf("%s %s with %s", e[0], e[1], name)
			a := s.raw(token, e[0], e[1], body)
			fixture.Equal(s, "the code of "+what, http.StatusUnauthorized, a.code)
			s.That(!strings.Contains(a.body, s.Env.Token.Reveal()), "the answer to "+what+" does not have the token in it", "it has")
		}
	}
	for _, c := range s.clusters() {
		s.That(c.Name != s.Namespace, "a registration without the right token registers nothing", c.ID)
	}
}

func (s *apiCase) clusters() []propagator.Cluster {
	s.Helper()
	rows, err := s.api.Clusters(s.Ctx)
	s.Must(err, "list clusters")
	return rows
}

// What is malformed, incomplete or unknown is refused with the code that is documented for it, and an error body that
// has a message.
func TestAPIErrors(t *testing.T) {
	s := beginAPI(t)
	type m = map[string]any
	unknown := func() string { return uuid.NewString() }
	const bad, missing = http.StatusBadRequest, http.StatusNotFound
	for _, c := range []struct {
		what, method, path string
		body               any
		code               int
	}{
		{"a cluster without a name", "POST", "/cluster", m{}, bad},
		{"a cluster from half a body", "POST", "/cluster", `{"cluster_name":`, bad},
		{"removing an unknown cluster", "DELETE", "/cluster/" + unknown(), nil, missing},
		{"a report of an unknown cluster", "POST", "/cluster/sync", m{"cluster_id": unknown(), "resource": m{"type": "None"}, "metadata": m{}}, missing},
		{"a checkpoint of an unknown pod", "POST", "/checkpoint/pod", m{"pod_id": unknown(), "cluster_id": s.Env.ClusterID}, missing},
		{"a checkpoint of a pod by an unknown name", "POST", "/checkpoint/pod", m{"pod_name": "nobody", "namespace": s.Namespace, "cluster_id": s.Env.ClusterID}, missing},
		{"a checkpoint of no pod", "POST", "/checkpoint/pod", m{}, bad},
		{"a checkpoint of a kind that there is not", "POST", "/checkpoint/pod", m{"pod_id": unknown(), "kind": "odd"}, bad},
		{"a checkpoint from half a body", "POST", "/checkpoint/pod", `{"pod_id":`, bad},
		{"the status of an unknown action", "GET", "/checkpoint/status/" + unknown(), nil, missing},
		{"a restore from an unknown action", "POST", "/restore/pod", m{"action_id": unknown(), "cluster_id": s.Env.ClusterID, "reason": "manual"}, missing},
		{"a restore from what is no id", "POST", "/restore/pod", m{"action_id": "first", "cluster_id": s.Env.ClusterID, "reason": "manual"}, bad},
		{"a restore without an action", "POST", "/restore/pod", m{"cluster_id": s.Env.ClusterID, "reason": "manual"}, bad},
		{"a restore without a reason", "POST", "/restore/pod", m{"action_id": unknown(), "cluster_id": s.Env.ClusterID}, bad},
		{"a restore from half a body", "POST", "/restore/pod", `{"action_id":`, bad},
		{"the action of an unknown pod", "GET", "/actions/from_pod/" + unknown(), nil, missing},
		{"the pod of an unknown action", "POST", "/actions/upload", m{"action_id": unknown(), "status": "ready", "pod_spec": m{}, "pod_metadata_spec": m{}, "persistent_volume_claim": nil}, missing},
		{"checkpoints of what is no id", "GET", "/checkpoints?ids=first", nil, bad},
		{"giving up what is no checkpoint's id", "PATCH", "/checkpoints/deprecate/first", nil, bad},
		{"the address of an unknown service", "GET", "/discover/nobody-" + unknown(), nil, missing},
	} {
		a := s.raw(s.Env.Token, c.method, c.path, c.body)
		if s.Env.Backend != settings.BackendLocal && c.path == "/restore/pod" && a.code == bad {
			c.code = bad // the older API documents 400 for an unknown action, too, and the newer one 404
		}
		s.That(a.code == c.code, fmt.Sprintf("%s (%s %s) is refused with %d", c.what, c.method, c.path, c.code),
			fmt.Sprintf("%d %s", a.code, fixture.Short(a.body)))
		var body propagator.ErrorBody
		err := json.Unmarshal([]byte(a.body), &body)
		s.That(err == nil && body.Message != "", c.what+" is answered with a message in an error body", fixture.Short(a.body))
	}
	s.That(len(s.Present()) == 0, "none of this made a pod", s.Present())
}

// Ids are lower-case UUIDs, and each request makes its own; what is asked for by an id is what is answered.
func TestAPIAnswers(t *testing.T) {
	s := beginAPI(t)
	id := func(text, what string) string {
		s.That(idForm.MatchString(text), "the id of "+what+" is a lower-case UUID", text)
		return text
	}
	id(s.text(s.raw(s.Env.Token, "GET", "/user", nil), "GET /user"), "the user")
	var count propagator.TotalCount
	a := s.raw(s.Env.Token, "GET", "/cluster/count", nil)
	s.Must(json.Unmarshal([]byte(a.body), &count), "read the number of clusters from %q", a.body)
	s.That(count.TotalCount >= 1, "at least the suite's own cluster is counted", a.body)
	own := slices.IndexFunc(s.clusters(), func(c propagator.Cluster) bool { return c.ID == s.Env.ClusterID })
	s.That(own >= 0, "the suite's own cluster "+s.Env.ClusterID+" is in the list", "it is not")
	s.That(s.clusters()[own].LastSync != nil, "the suite's own cluster has synchronised", s.clusters()[own])

	// A checkpoint's row from its making to its end, as the one who takes a checkpoint writes it.
	first := id(s.text(s.raw(s.Env.Token, "POST", "/checkpoints", nil), "POST /checkpoints"), "a new checkpoint")
	second := id(s.text(s.raw(s.Env.Token, "POST", "/checkpoints", nil), "POST /checkpoints"), "a new checkpoint")
	s.That(first != second, "each new checkpoint has an id of its own", first)
	row := func() propagator.Checkpoint {
		rows, err := s.api.Client.Checkpoints(s.Ctx, propagator.CheckpointFilter{IDs: []string{first}})
		s.Must(err, "ask for checkpoint %s", first)
		fixture.Equal(s, "the number of checkpoints of id "+first, 1, len(rows))
		fixture.Equal(s, "the checkpoint's id", first, rows[0].ID)
		return rows[0]
	}
	fixture.Equal(s, "the status of a new checkpoint", propagator.CheckpointInitializing, row().Status)
	info := map[string]any{"gpu": "none", "platform": "linux/e2e", "info": map[string]string{"note": "of " + s.Namespace}}
	fixture.Equal(s, "the answer to PUT /checkpoints/info", first, s.text(s.raw(s.Env.Token, "PUT", "/checkpoints/info/"+first, info), "PUT /checkpoints/info"))
	now := row()
	fixture.Equal(s, "the checkpoint's status", propagator.CheckpointUpdatedInfo, now.Status)
	fixture.Equal(s, "the checkpoint's platform", "linux/e2e", now.Platform)
	both, err := s.api.Client.Checkpoints(s.Ctx, propagator.CheckpointFilter{IDs: []string{first, second}})
	s.Must(err, "ask for two checkpoints")
	fixture.Equal(s, "the number of checkpoints of two ids", 2, len(both))
	for _, one := range []string{first, second} {
		fixture.Equal(s, "the answer to PATCH /checkpoints/deprecate", one, s.text(s.raw(s.Env.Token, "PATCH", "/checkpoints/deprecate/"+one, nil), "PATCH /checkpoints/deprecate"))
	}
	fixture.Equal(s, "the status of a checkpoint that was given up", propagator.CheckpointDeprecated, row().Status)

	file := s.text(s.raw(s.Env.Token, "GET", "/files/e2e/"+s.Namespace, nil), "GET /files")
	address, err := url.Parse(file)
	s.That(err == nil && address.Host != "" && strings.HasPrefix(address.Scheme, "http"), "GET /files answers with an address to load the file from", file)
	var names []string
	a = s.raw(s.Env.Token, "GET", "/files/dir/e2e/"+s.Namespace, nil)
	s.Must(json.Unmarshal([]byte(a.body), &names), "read a list of files from %q", a.body)
	fixture.Equal(s, "the number of files of this test", 0, len(names))
}

// Lists are narrowed by the server and not by our client, and the latest action of a pod is its latest.
func TestAPIFilters(t *testing.T) {
	s := beginAPI(t)
	pod := s.Start(pods.Nginx(s.Env.ImageNginx))
	first, second := s.Checkpoint(pod), s.Checkpoint(pod)
	s.That(first.Operation.String() != second.Operation.String(), "each checkpoint is an action of its own", first.Operation.String())
	latest, err := s.api.ActionFromPod(s.Ctx, string(pod.UID))
	s.Must(err, "ask for the latest action of pod %s", pod.UID)
	fixture.Equal(s, "the latest action of pod "+string(pod.UID), second.Operation.String(), latest)

	row := first.Records[0].ID
	s.lists("/actions?type=checkpoint_pod", "action_id", first.Operation.String(), true)
	s.lists("/actions?type=restore_pod", "action_id", first.Operation.String(), false)
	s.lists("/checkpoints?ids="+row, "id", row, true)
	s.lists("/checkpoints?ids="+second.Records[0].ID, "id", row, false)
	if s.Env.Backend != settings.BackendLocal {
		return
	}
	// Not every propagator knows these.
	other, err := s.api.CreateCluster(s.Ctx, s.Namespace)
	s.Must(err, "register cluster %s", s.Namespace)
	s.Cleanup(func() { s.unregister(other) })
	for path, key := range map[string]string{"/actions": "action_id", "/checkpoints": "id"} {
		id := map[string]string{"action_id": first.Operation.String(), "id": row}[key]
		s.lists(path+"?cluster_id="+s.Env.ClusterID, key, id, true)
		s.lists(path+"?cluster_id="+other, key, id, false)
	}
	s.lists("/actions?status=ready", "action_id", first.Operation.String(), true)
	s.lists("/actions?status=error", "action_id", first.Operation.String(), false)
	s.lists("/cluster?kind=kubernetes", "id", s.Env.ClusterID, true)
	s.lists("/cluster?kind=slurm", "id", s.Env.ClusterID, false)
}

// unregister removes a cluster in a test's cleanup.
func (s *apiCase) unregister(id string) {
	ctx, cancel := s.CleanupContext()
	defer cancel()
	if err := s.api.DeleteCluster(ctx, id); err != nil && !propagator.IsNotFound(err) {
		s.Errorf("remove cluster %s: %v", id, err)
	}
}

// Only a checkpoint can be restored: a restore cannot, and neither can a checkpoint that was given up.
func TestAPIRestoreNeedsACheckpoint(t *testing.T) {
	s := beginAPI(t)
	p := s.Start(pods.Nginx(s.Env.ImageNginx))
	c := s.Checkpoint(p)
	s.Remove(p)
	r := s.Restore(c)
	before := s.Present()
	_, err := s.api.RestorePod(s.Ctx, propagator.RestorePodRequest{ActionID: r.Operation.String(), ClusterID: s.Env.ClusterID, Reason: propagator.ReasonManual})
	s.refused(err, "a restore from a restore", http.StatusBadRequest, http.StatusNotFound)
	for _, row := range c.Records {
		s.Must(s.api.Client.Deprecate(s.Ctx, row.ID), "deprecate checkpoint %s", row.ID)
	}
	if s.Env.Backend == settings.BackendLocal {
		// Cedana removes it at its next cleanup, and until then may restore from it.
		_, err = s.api.RestorePod(s.Ctx, propagator.RestorePodRequest{ActionID: c.Operation.String(), ClusterID: s.Env.ClusterID, Reason: propagator.ReasonManual})
		s.refused(err, "a restore from a checkpoint that was given up", http.StatusBadRequest)
	}
	fixture.Equal(s, "the number of pods, as before,", len(before), len(s.Present()))
}
